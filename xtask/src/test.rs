//! `cargo xtask test`: everything is built, then everything is run.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use crate::phases::Phases;
use crate::workspace::HOST;
use crate::{package, setup, workspace};

/// Where cargo finds the test targets that run in namespaces.
const TARGETS: &str = "tests/tests";

/// Tests of a running firewall: what it does must not depend on where its filter is attached.
const IN_EVERY_MODE: [&str; 13] = [
    "attacks_lifetime",
    "attacks_negotiation",
    "attacks_packets",
    "attacks_pressure",
    "attacks_stream",
    "bystanders",
    "containers",
    "kernel_state",
    "namespaces",
    "nic",
    "one_port",
    "policy",
    "transfers",
];
/// Besides native, in which all tests run.
const OTHER_MODES: [&str; 2] = ["generic", "tc"];
/// Tests that also run with the programs for kernels without `bpf_loop`; `early` always does.
const WITH_EARLY_PROGRAMS: [&str; 3] = ["one_port", "program_sizes", "transfers"];
/// They wait for each other and for the kernel more than they compute.
const THREADS_A_CPU: usize = 2;

/// Builds and runs the tests that match one of the filters, or all. A filter that is the name of a
/// test target (`faults`) stands for that target, and no other is built then.
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
    if filters.is_empty() {
        phases.attempt(
            "make, install and remove the package",
            package::make_and_try,
        );
    }
    build_embedded_server(phases)?;

    let cpus = thread::available_parallelism().map_or(2, NonZero::get);
    let threads = cpus * THREADS_A_CPU;
    let (named, filters): (Vec<_>, Vec<_>) = filters.iter().partition(|name| is_target(name));
    let in_namespaces: Vec<String> = match named[..] {
        [] => vec!["--test=*".to_owned()],
        _ => named.iter().map(|name| format!("--test={name}")).collect(),
    };
    let mut suites = vec![("tests in namespaces", in_namespaces)];
    if named.is_empty() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        suites.insert(0, ("unit tests", words(&["--lib", "--bins"])));
        suites.insert(1, ("documentation tests", words(&["--doc"])));
    }
    for (name, targets) in suites {
        let mut test = workspace::cargo(&["test", "--no-fail-fast"]);
        test.args(HOST).args(targets).arg("--").args(&filters);
        // What is ignored by default needs privileges, and here they are.
        test.arg("--include-ignored")
            .arg(format!("--test-threads={threads}"));
        test.envs(programs(Profile::Release));
        phases.check(name, &mut test)?;
    }
    let mut again = |name: &str, targets: &[&str], (variable, value): (&str, &str)| {
        let targets: Vec<_> = targets
            .iter()
            .filter(|target| named.is_empty() || named.iter().any(|name| name == *target))
            .map(|name| format!("--test={name}"))
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut test = workspace::cargo(&["test", "--no-fail-fast"]);
        test.args(HOST).args(targets).arg("--").args(&filters);
        test.arg(format!("--test-threads={threads}"));
        test.envs(programs(Profile::Release)).env(variable, value);
        phases.check(name, &mut test)
    };
    for mode in OTHER_MODES {
        let name = format!("those of a running firewall in mode {mode}");
        again(&name, &IN_EVERY_MODE, ("FTPFW_MODE", mode))?;
    }
    let early = ftpfw_tests::early::VARIABLE;
    again("some with early programs", &WITH_EARLY_PROGRAMS, early)
}

fn is_target(name: &str) -> bool {
    let path = workspace::root().join(TARGETS).join(name);
    path.with_extension("rs").is_file() || path.join("main.rs").is_file()
}

/// `ftpfw` as it is used, the eBPF object inside.
///
/// # Errors
/// When it does not compile.
pub fn build_ftpfw(phases: &mut Phases) -> Result<()> {
    let mut ftpfw = workspace::cargo(&["build", "--locked", "--release"]);
    phases.command("build ftpfw", &mut ftpfw)
}

/// The FTP server of tests and demo, without optimisation: with it, libunftp takes two minutes.
///
/// # Errors
/// When it does not compile.
pub fn build_embedded_server(phases: &mut Phases) -> Result<()> {
    let mut server = workspace::cargo(&["build", "--bin=embedded-ftp-server"]);
    phases.command("build the embedded FTP server", server.args(HOST))
}

/// `ftpfw` and, if asked for, the embedded server, both without optimisation.
///
/// # Errors
/// When one does not compile.
pub fn build_quickly(phases: &mut Phases, with_embedded_server: bool) -> Result<()> {
    let mut programs = workspace::cargo(&["build", "--bin=ftpfw"]);
    programs.args(HOST);
    if with_embedded_server {
        programs.arg("--bin=embedded-ftp-server");
    }
    phases.command("build", &mut programs)
}

/// How `ftpfw` is built. The eBPF object inside is the same.
#[derive(Clone, Copy, Debug)]
pub enum Profile {
    /// For use and for measurements.
    Release,
    /// In less time; shares its dependencies with the embedded server.
    Dev,
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
        ("FTPFW_VSFTPD", setup::servers::vsftpd_path()),
    ];
    all.into_iter().filter(|(_, path)| path.exists())
}
