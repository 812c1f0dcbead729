//! Who comes to a quirky server.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail, ensure};

use crate::client::Tool;
use crate::transcript::unescape;
use crate::wait::factor;

/// A client, as a `by` line of a transcript names it.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Which.
    pub tool: Tool,
    /// Words on its command line, or a setting of lftp's.
    words: Vec<String>,
}

impl Visitor {
    /// All clients, as they come.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let tools = [Tool::Curl, Tool::Lftp, Tool::Ftplib];
        let plain = |tool| Self {
            tool,
            words: Vec::new(),
        };
        tools.map(plain).into()
    }

    /// Its name, as `fails` lines have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.tool.name()
    }

    /// The words for its command line. lftp's setting goes into a file of `directory`, as it takes only
    /// one command line of commands. curl's patience with a connection, which includes the login, is
    /// longer where everything takes longer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn words(&self, directory: &Path) -> Result<Vec<String>> {
        if self.tool != Tool::Lftp || self.words.is_empty() {
            let mut words = self.words.clone();
            if let Some(option) = words.iter().position(|it| it == "--connect-timeout") {
                let seconds = words.get_mut(option + 1).context("a number of seconds")?;
                *seconds = (seconds.parse::<u32>()? * factor()).to_string();
            }
            return Ok(words);
        }
        let path = directory.join("settings");
        fs::write(&path, self.words.join(" "))?;
        Ok(vec!["--rcfile".to_owned(), path.display().to_string()])
    }
}

impl FromStr for Visitor {
    type Err = Error;

    /// `CLIENT WORD…`; a space inside a word is `\x20`.
    fn from_str(line: &str) -> Result<Self> {
        let mut words = line.split(' ');
        let tool = match words.next() {
            Some("curl") => Tool::Curl,
            Some("lftp") => Tool::Lftp,
            Some("ftplib") => Tool::Ftplib,
            other => bail!("no client is called {other:?}"),
        };
        let words: Vec<_> = words
            .map(|word| String::from_utf8(unescape(word)?).context("words are text"))
            .collect::<Result<_>>()?;
        ensure!(
            tool != Tool::Ftplib || words.is_empty(),
            "ftplib takes no words"
        );
        Ok(Self { tool, words })
    }
}
