//! `cargo xtask`: everything that a developer or CI does with this repository.

mod bench;
mod broken;
mod ci;
mod demo;
mod ebpf;
mod fuzz;
mod matrix;
#[path = "../../ftpfw-user/build/object.rs"]
mod object;
mod package;
mod phases;
mod proc;
mod setup;
mod soak;
mod test;
#[path = "../../ftpfw-user/build/toolchain.rs"]
mod toolchain;
mod vm;
mod workspace;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development tasks of ftpfw")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and testing need, as far as it is missing
    Setup,
    /// Show ftpfw at work between three network namespaces
    Demo {
        /// The FTP server
        #[arg(long, value_enum, default_value = "embedded")]
        server: demo::Server,
    },
    /// Compile the eBPF object and print the sizes of its programs
    BuildEbpf,
    /// Build everything and run all tests
    Test {
        /// Only the tests whose names contain one of these, or a whole test target (`faults`)
        filters: Vec<String>,
    },
    /// Try real servers with real clients under ftpfw and nftables, beside what works without a firewall
    Matrix(matrix::Matrix),
    /// Run the integration tests on other kernels, in virtual machines
    Vm(vm::Vm),
    /// Take rules out of a copy of the firewall: the tests must turn red
    Broken(broken::Broken),
    /// Measure
    Bench(bench::Bench),
    /// Load ftpfw for a while, kill its agent now and then, and judge whether its memory is flat
    Soak(soak::Soak),
    /// Fuzz the parsers of hostile bytes
    Fuzz {
        /// Time for each target, in seconds
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Make a package for Debian and Ubuntu
    Package {
        /// Install, upgrade and remove it in a directory, and look at what is there
        #[arg(long)]
        test: bool,
    },
    /// Check format, lints and documentation, then run all tests, and some on another kernel
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse_from(arguments()).task {
        Task::Setup => setup::everything(),
        Task::Demo { server } => demo::run(server),
        Task::BuildEbpf => ebpf::build_and_report(),
        Task::Test { filters } => test::run(&filters),
        Task::Matrix(matrix) => matrix::run(&matrix),
        Task::Vm(vm) => vm::run(&vm),
        Task::Broken(broken) => broken::run(&broken),
        Task::Bench(bench) => bench::run(&bench),
        Task::Soak(soak) => soak::run(&soak),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Package { test } => package::run(test),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The arguments, without the `--` of `cargo xtask demo -- --server vsftpd`: that habit comes from
/// `cargo run`, and after it clap would take `--server` for a positional argument.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    if arguments.get(1).is_some_and(|task| task == "demo") {
        arguments.retain(|argument| argument != "--");
    }
    arguments
}
