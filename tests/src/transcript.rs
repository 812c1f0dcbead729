//! Transcripts: what two ends say to each other, and what must come of it.
//!
//! A text file. Lines beginning with
//!
//! | start | meaning |
//! |---|---|
//! | `# ` | a comment; the first one says what the transcript is about |
//! | `client ADDR` | the client's address (default 10.0.0.9) |
//! | `adopted` | the session was met in the middle: logged in, pairing unknown |
//! | `C ` / `S ` | the client / the server sends this line; CR LF is added |
//! | `c ` / `s ` | the same, but only these bytes: `\r \n \0 \xHH` are escapes |
//! | `! ` | what the line above came to, in [`describe`]'s words |
//!
//! and those that only the server of [`crate::quirky`] understands:
//!
//! | start | meaning |
//! |---|---|
//! | `> ` | the server does this, as [`Act`] has it |
//! | `!! ` | what a host makes of the line above, whose sockets say more than the bytes |
//! | `by CLIENT WORDS` | only clients so named come, with these words on their command line |
//! | `fails CLIENT` | this client does not get its file, with or without ftpfw; `fails CLIENT ipv6`: over IPv6 |
//! | `drops` | ftpfw drops what clients dial, and they fail; without this line it drops nothing of theirs |
//! | `service PORT` | another program of the server's listens on that port |
//!
//! `{s} {c}` are the server's and the client's address as PORT writes it, `{server} {client}` as it is,
//! `{p}` is port 50000 as PORT writes it.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_common::{Address, abi::event::Direction, control::Conclusion};

use crate::quirky::{Act, Visitor};

/// What stands in braces, where nobody has an address.
const ON_PAPER: [(&str, &str); 5] = [
    ("{s}", "10,77,0,1"),
    ("{c}", "10,0,0,9"),
    ("{p}", "195,80"),
    ("{server}", "10.77.0.1"),
    ("{client}", "10.0.0.9"),
];

/// What somebody sends, and what it comes to.
#[derive(Clone, Debug)]
pub struct Step {
    /// Who sends.
    pub direction: Direction,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they come to, as [`describe`] says it.
    pub expected: Vec<String>,
    /// What they come to on a host, where that is something else.
    pub on_a_host: Vec<String>,
    /// What the server does next.
    pub acts: Vec<Act>,
}

/// A whole transcript.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// File name without `.txt`.
    pub name: String,
    /// The client's address.
    pub client: Address,
    /// Met in the middle.
    pub adopted: bool,
    /// What the server does before anybody says anything.
    pub opening: Vec<Act>,
    /// In order.
    pub steps: Vec<Step>,
    /// Who comes, if not all.
    pub visitors: Vec<Visitor>,
    /// Who does not get his file.
    pub fails: Vec<String>,
    /// Whether ftpfw drops SYNs of theirs.
    pub drops: bool,
    /// Where another program of the server's listens.
    pub service: Option<u16>,
}

impl Transcript {
    /// Reads one file, with addresses that nobody has.
    ///
    /// # Errors
    /// With the line that makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_filled(path, |line| {
            let line = line.to_owned();
            ON_PAPER
                .iter()
                .fold(line, |line, (name, value)| line.replace(name, value))
        })
    }

    /// Reads one file whose every line went through `fill`.
    ///
    /// # Errors
    /// As [`Transcript::read`].
    pub fn read_filled(path: &Path, fill: impl Fn(&str) -> String) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let mut transcript = Self {
            name: name.unwrap_or_default(),
            client: Address::v4([10, 0, 0, 9]),
            adopted: false,
            opening: Vec::new(),
            steps: Vec::new(),
            visitors: Vec::new(),
            fails: Vec::new(),
            drops: false,
            service: None,
        };
        for (number, line) in text.lines().enumerate() {
            transcript
                .line(&fill(line))
                .with_context(|| format!("{}, line {}: {line:?}", path.display(), number + 1))?;
        }
        Ok(transcript)
    }

    /// All transcripts of a directory, by name.
    ///
    /// # Errors
    /// When one cannot be read, or there is none.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>> {
        let entries = fs::read_dir(directory).with_context(|| format!("{directory:?}"))?;
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.retain(|path| path.extension().is_some_and(|it| it == "txt"));
        paths.sort();
        ensure!(!paths.is_empty(), "no transcript in {directory:?}");
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let (start, rest) = line.split_once(' ').unwrap_or((line, ""));
        match start {
            "" | "#" => {}
            "client" => self.client = rest.parse::<IpAddr>()?.into(),
            "adopted" => self.adopted = true,
            "C" => self.say(Direction::Client, [rest.as_bytes(), b"\r\n"].concat()),
            "S" => self.say(Direction::Server, [rest.as_bytes(), b"\r\n"].concat()),
            "c" => self.say(Direction::Client, unescape(rest)?),
            "s" => self.say(Direction::Server, unescape(rest)?),
            "!" => self.last()?.expected.push(rest.to_owned()),
            "!!" => self.last()?.on_a_host.push(rest.to_owned()),
            ">" => match self.steps.last_mut() {
                Some(step) => step.acts.push(rest.parse()?),
                None => self.opening.push(rest.parse()?),
            },
            "by" => self.visitors.push(rest.parse()?),
            "fails" => self.fails.push(rest.to_owned()),
            "drops" => self.drops = true,
            "service" => self.service = Some(rest.parse()?),
            _ => bail!("no such kind of line"),
        }
        Ok(())
    }

    fn say(&mut self, direction: Direction, bytes: Vec<u8>) {
        self.steps.push(Step {
            direction,
            bytes,
            expected: Vec::new(),
            on_a_host: Vec::new(),
            acts: Vec::new(),
        });
    }

    fn last(&mut self) -> Result<&mut Step> {
        self.steps.last_mut().context("nothing was said yet")
    }
}

/// Bytes in which `\r \n \0 \xHH` are escapes.
///
/// # Errors
/// When there are other escapes.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut characters = text.bytes();
    while let Some(byte) = characters.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match characters.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: Vec<u8> = characters.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
            }
            _ => bail!("unknown escape"),
        });
    }
    Ok(bytes)
}

/// A conclusion in the words that a transcript expects it in.
#[must_use]
pub fn describe(conclusion: Conclusion) -> String {
    let mut text = String::new();
    let written = match conclusion {
        Conclusion::ArmPassive { port, by } => write!(text, "arm passive {port} {}", by.name()),
        Conclusion::ArmActive { port, by } => write!(text, "arm active {port} {}", by.name()),
        Conclusion::WithdrawActive { port } => write!(text, "withdraw-active {port}"),
        Conclusion::Withdraw(cause) => write!(text, "withdraw {}", cause.name()),
        Conclusion::Refused(refusal) => write!(text, "refused {}", refusal.name()),
        Conclusion::LoggedIn => write!(text, "logged-in"),
        Conclusion::Opaque => write!(text, "opaque"),
        Conclusion::Plain => write!(text, "plain"),
    };
    written.expect("a String takes everything");
    text
}
