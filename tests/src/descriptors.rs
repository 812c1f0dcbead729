//! The limit of open files.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process have as many open files as it may ask for: a login on Debian gives it 1,024 of them.
///
/// # Errors
/// When `wanted` are more than it may ask for.
pub fn allow(wanted: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    ensure!(
        current.is_none_or(|most| most >= wanted as u64),
        "this needs {wanted} open files, and a process may have {} here (`ulimit -Hn`)",
        current.unwrap_or(0)
    );
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).context("raise RLIMIT_NOFILE")
}
