//! `cargo xtask demo`: ftpfw at work, told on the terminal. Every sentence that it prints as true
//! has been checked; what is not as it should be ends the demo with exit code 1.

mod narrator;
mod story;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use ftpfw_tests::server::Daemon;

use crate::phases::Phases;
use crate::{setup, test};

/// The FTP server of the demo.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Server {
    /// libunftp, built with the demo
    Embedded,
    /// Debian's vsftpd, unpacked but not installed
    Vsftpd,
}

/// Set by Ctrl-C, SIGTERM and SIGHUP: the story stops at its next step, and its guards clean up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Sets up, builds, and tells the story.
///
/// # Errors
/// When something cannot be built, or when ftpfw does not do what the story says.
pub fn run(server: Server) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", || {
        setup::toolchain()?;
        setup::laboratory()?;
        match server {
            Server::Embedded => Ok(()),
            Server::Vsftpd => setup::vsftpd::unpack(),
        }
    })?;
    test::build_ftpfw(&mut phases)?;
    let daemon = match server {
        Server::Embedded => {
            test::build_embedded_server(&mut phases)?;
            Daemon::Embedded
        }
        Server::Vsftpd => Daemon::Vsftpd,
    };
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("handle Ctrl-C")?;
    story::tell(daemon)
}
