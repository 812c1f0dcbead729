//! Options of `ftpfw run` for tests that take longer on a slow machine than tuples live.

use anyhow::Result;

use crate::config_file::ConfigFile;
use crate::wait;

/// What a tuple lives without being asked otherwise, minutes.
const USUAL: u32 = 2;

/// A configuration file by which tuples live longer by the same factor as everybody is patient.
///
/// # Errors
/// When it cannot be written.
pub fn long_lived() -> Result<ConfigFile> {
    let minutes = USUAL * wait::factor();
    ConfigFile::new(&format!("[timeouts]\ntuple = \"{minutes}m\"\n"))
}
