//! Somebody without capabilities.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{place, programs};

/// The user `nobody`, with an ftpfw: where the tests are built, nobody may not be able to look.
#[derive(Debug)]
pub struct Nobody {
    directory: TempDir,
}

impl Nobody {
    /// # Errors
    /// When the program has not been built or cannot be copied.
    pub fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-nobody-").context("make a directory")?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        programs::install(&place::program()?, &directory.path().join("ftpfw"))?;
        Ok(Self { directory })
    }

    /// `ftpfw WORDS…`, by nobody.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = command(&self.directory.path().join("ftpfw"));
        command.args(words);
        command
    }

    /// Where everybody may look, and root may write.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A program that everybody may look at, run by nobody.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    command
}
