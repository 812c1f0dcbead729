//! `cargo xtask test`: everything is built, then everything is run.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use crate::phases::Phases;
use crate::{setup, workspace};

/// The embedded FTP server is built without optimisation: with it, libunftp alone takes two minutes.
const EMBEDDED_SERVER: [&str; 6] = [
    "build",
    "--package=ftpfw-tests",
    "--features=embedded-server",
    "--bin=embedded-ftp-server",
    "--quiet",
    "--locked",
];

/// Builds and runs the tests that match one of the filters, or all.
///
/// # Errors
/// When a phase fails.
pub fn run(filters: &[String]) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", setup::everything)?;
    tests(&mut phases, filters)?;
    phases.finish()
}

/// The phases of `run` after the set-up, for others to go on with.
///
/// # Errors
/// When something cannot be built. Failed tests are reported by `phases.finish()`.
pub fn tests(phases: &mut Phases, filters: &[String]) -> Result<()> {
    build_ftpfw(phases)?;
    build_embedded_server(phases)?;

    let mut host = workspace::cargo(&["test", "--locked", "--no-fail-fast"]);
    host.args([
        "-p",
        "ftpfw-common",
        "-p",
        "ftpfw-user",
        "-p",
        "xtask",
        "--",
    ]);
    phases.check("test the crates", host.args(filters))?;

    let threads = thread::available_parallelism().map_or(2, NonZero::get);
    // With the feature of the server's build, so that the library is not compiled once more.
    let mut lab = workspace::cargo(&["test", "--locked", "--no-fail-fast", "-p", "ftpfw-tests"]);
    lab.arg("--features=embedded-server").arg("--");
    lab.arg(format!("--test-threads={threads}")).args(filters);
    lab.envs(programs(Profile::Release));
    phases.check("test in namespaces", &mut lab)
}

/// How `ftpfw` is built. The eBPF object inside is the same.
#[derive(Clone, Copy, Debug)]
pub enum Profile {
    /// For use and for measurements.
    Release,
    /// In less time; shares its dependencies with xtask and the embedded server.
    Dev,
}

/// `ftpfw` as it is used, the eBPF object inside.
///
/// # Errors
/// When it does not compile.
pub fn build_ftpfw(phases: &mut Phases) -> Result<()> {
    build_ftpfw_in(phases, Profile::Release)
}

/// `ftpfw` in a profile of the caller's choice.
///
/// # Errors
/// As [`build_ftpfw`].
pub fn build_ftpfw_in(phases: &mut Phases, profile: Profile) -> Result<()> {
    let mut ftpfw = workspace::cargo(&["build", "--locked", "--package=ftpfw-user"]);
    if let Profile::Release = profile {
        ftpfw.arg("--release");
    }
    phases.command("build ftpfw", &mut ftpfw)
}

/// The FTP server of tests and demo.
///
/// # Errors
/// When it does not compile.
pub fn build_embedded_server(phases: &mut Phases) -> Result<()> {
    phases.command(
        "build the embedded FTP server",
        &mut workspace::cargo(&EMBEDDED_SERVER),
    )
}

/// Where the programs are that were built or unpacked, by the variables that the laboratory reads.
/// vsftpd only if it is there: the demo does not unpack it without need.
pub fn programs(profile: Profile) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let target = workspace::target();
    let ftpfw = match profile {
        Profile::Release => "release/ftpfw",
        Profile::Dev => "debug/ftpfw",
    };
    let all = [
        ("FTPFW_BIN", target.join(ftpfw)),
        (
            "FTPFW_EMBEDDED_SERVER",
            target.join("debug/embedded-ftp-server"),
        ),
        ("FTPFW_VSFTPD", setup::vsftpd::path()),
    ];
    all.into_iter().filter(|(_, path)| path.exists())
}
