//! Where one ftpfw lives, and the commands that go there.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::lab::Host;
use crate::{mounts, programs};

/// Where one ftpfw lives: a pin directory, a socket and a log that no other one has.
#[derive(Debug)]
pub struct Place {
    program: PathBuf,
    /// Its pins.
    pub pins: PathBuf,
    /// Its socket.
    pub socket: PathBuf,
    directory: TempDir,
    netns: PathBuf,
}

impl Place {
    /// A place for an ftpfw in the namespace of `host`; nothing is started.
    ///
    /// # Errors
    /// When the program has not been built or the kernel's file systems cannot be mounted.
    pub fn new(host: &Host) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        mounts::ensure()?;
        let directory = TempDir::with_prefix("ftpfw-agent-").context("make a directory")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pins = format!("{}/ftpfw-test-{}-{number}", mounts::BPF, std::process::id());
        Ok(Self {
            program: program()?,
            pins: pins.into(),
            socket: directory.path().join("agent.sock"),
            netns: host.netns.path(),
            directory,
        })
    }

    /// `ftpfw WORDS… --pin-dir … --socket …`, to be run inside the namespace.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.elsewhere(words);
        command
            .arg("--pin-dir")
            .arg(&self.pins)
            .arg("--socket")
            .arg(&self.socket);
        command
    }

    /// `ftpfw WORDS…` inside the namespace, which may say by itself where.
    #[must_use]
    pub fn elsewhere(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.netns.display()))
            .arg("--")
            .arg(&self.program)
            .args(words);
        command.stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    /// Where `ftpfw run` writes its standard error.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// The binary: `FTPFW_BIN`, or the build beside the tests.
///
/// # Errors
/// When there is none.
pub fn program() -> Result<PathBuf> {
    programs::find_built("ftpfw", "FTPFW_BIN", "cargo build --release")
}
