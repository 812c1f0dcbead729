//! A configuration file of ftpfw's, for as long as a test needs it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// A file that a test writes, and may write again.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    _directory: TempDir,
}

impl ConfigFile {
    /// A new file with this text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(text: &str) -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-configuration-")?;
        let file = Self {
            path: directory.path().join("ftpfw.toml"),
            _directory: directory,
        };
        file.write(text)?;
        Ok(file)
    }

    /// Replaces its text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.path, text).context("write the configuration file")
    }

    /// Where it is.
    ///
    /// # Panics
    /// When the directory for temporary files has a path that is no text.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("a path that is text")
    }

    /// `--config FILE`.
    pub fn options(&self) -> [&str; 2] {
        ["--config", self.path()]
    }
}
