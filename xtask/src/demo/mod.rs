//! `cargo xtask demo`: ftpfw at work, told on the terminal. Every sentence that it prints as true
//! has been checked; what is not as it should be ends the demo with exit code 1.

mod narrator;
mod story;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use ftpfw_tests::server::Daemon;

use crate::phases::Phases;
use crate::test::Profile;
use crate::{setup, test};

/// The FTP server of the demo.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Server {
    /// libunftp, built with the demo
    Embedded,
    /// Debian's vsftpd, unpacked but not installed
    Vsftpd,
}

/// Set by Ctrl-C, SIGTERM and SIGHUP: the story stops at its next check, and its guards clean up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

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
            Server::Vsftpd => setup::servers::unpack_vsftpd(),
        }
    })?;
    // Without optimisation: verdicts are the kernel's, whose object is always optimised, and from a
    // bare clone the demo starts minutes earlier.
    let daemon = match server {
        Server::Embedded => Daemon::Embedded,
        Server::Vsftpd => Daemon::Vsftpd,
    };
    test::build_quickly(&mut phases, daemon == Daemon::Embedded)?;
    // SAFETY: no other thread runs yet, so none can read the environment meanwhile.
    unsafe { point_at_programs() };
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("handle Ctrl-C")?;
    story::tell(daemon)
}

/// Makes the laboratory take the programs just built, and not older ones of another profile.
///
/// # Safety
///
/// No other thread may be running.
unsafe fn point_at_programs() {
    for (name, path) in test::programs(Profile::Dev) {
        // SAFETY: as promised by the caller.
        unsafe { env::set_var(name, path) };
    }
}
