//! What proc(5) says of processes and their descriptors.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Memory of a process, given by its directory, KiB: `VmRSS` of proc_pid_status(5).
///
/// # Errors
/// When it has ended.
pub fn resident(process: &Path) -> Result<u64> {
    field(&fs::read_to_string(process.join("status"))?, "VmRSS:").context("no VmRSS")
}

/// The number behind a name at the beginning of a line.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
