//! Options of `ftpfw run` for tests that take longer on a slow machine than tuples live.

use std::fs;

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use crate::wait;

/// What a tuple lives without being asked otherwise, minutes.
const USUAL: u32 = 2;

/// A configuration file by which tuples live longer by the same factor as everybody is patient.
#[derive(Debug)]
pub struct LongLived(NamedTempFile);

impl LongLived {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new() -> Result<Self> {
        let file = NamedTempFile::with_prefix("ftpfw-patient-")?;
        let minutes = USUAL * wait::factor();
        fs::write(file.path(), format!("[timeouts]\ntuple = \"{minutes}m\"\n"))?;
        Ok(Self(file))
    }

    /// `--config FILE`.
    ///
    /// # Errors
    /// When its path is no text.
    pub fn options(&self) -> Result<[&str; 2]> {
        let path = self.0.path().to_str().context("a path of ASCII")?;
        Ok(["--config", path])
    }
}
