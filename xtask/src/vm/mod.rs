//! `cargo xtask vm`: the integration tests on other kernels, in virtual machines.
//!
//! A machine has a stock kernel of Debian's and the host's files, read-only below what it writes into
//! its memory: the test programs, servers and clients are the host's own. Process 1 is a program of
//! ours (`tests/vm-init`).

mod init;
mod initramfs;
mod kernel;
mod page;
mod qemu;
mod report;
mod sources;
mod suites;
mod topology;
mod vmlinux;

use std::env::consts::ARCH;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::phases::Phases;
use crate::{setup, test, workspace};
use kernel::{Kernel, Line};
use qemu::{Accelerator, Machine};
use report::Run;
use suites::{Built, Suite};
use topology::{Nic, Topology};

pub use qemu::PROGRAM as QEMU;

/// The arguments of `cargo xtask vm`.
#[derive(Debug, Args)]
pub struct Vm {
    /// The newest of Debian's kernels of that line; may be given several times
    #[arg(long = "kernel", value_enum, value_name = "LINE", default_values = ["6.1", "6.12"])]
    kernels: Vec<Line>,
    /// What joins the hosts of the tests
    #[arg(long, value_enum, default_value_t = Topology::Veth)]
    topology: Topology,
    /// The NICs of the topology `hub`
    #[arg(long, value_enum, default_value_t = Nic::Virtio)]
    nic: Nic,
    /// Time for each kernel
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    timeout: u64,
    /// Keep the logs of a run that passed, too, in target/vm/runs
    #[arg(long)]
    keep: bool,
    /// Write docs/kernels.md from what was found; name all kernels that it shall have
    #[arg(long)]
    page: bool,
    /// Only the suites with one of these names; or, when there is no such suite, only the tests whose
    /// names contain one of them
    filters: Vec<String>,
}

/// Builds, gets what is missing, and runs the tests on one kernel after the other.
///
/// # Errors
/// When something cannot be had or built, or a test failed.
pub fn run(vm: &Vm) -> Result<()> {
    ensure!(
        ARCH == "x86_64",
        "the machines are x86_64, and so must be the programs in them: this host is {ARCH}"
    );
    let mut phases = Phases::default();
    phases.step("set up", || {
        setup::everything()?;
        setup::virtual_machines()
    })?;
    test::build_ftpfw(&mut phases)?;
    test::build_embedded_server(&mut phases)?;
    let init = phases.step("build process 1 of the machines", init::build)?;
    let built = phases.step("build the tests", suites::build)?;

    let cache = workspace::target().join("vm");
    let mut runs = Vec::new();
    let mut lines = vm.kernels.clone();
    lines.sort();
    lines.dedup();
    for line in lines {
        let kernel = phases.step(&format!("kernel {}", line.name()), || {
            kernel::obtain(line, &cache.join("kernels"))
        })?;
        let scene = Scene {
            init: &init,
            built: &built,
            runs: &cache.join("runs"),
        };
        runs.push(scene.play(vm, kernel)?);
    }
    if report::print(&runs) {
        if vm.page {
            page::write(&runs)?;
        }
        return Ok(());
    }
    bail!(
        "not all passed; the logs are in {}",
        cache.join("runs").display()
    );
}

/// What all machines have.
struct Scene<'a> {
    init: &'a Path,
    built: &'a [Built],
    runs: &'a Path,
}

impl Vm {
    /// The NICs that a machine has.
    fn nics(&self) -> Option<Nic> {
        (self.topology == Topology::Hub).then_some(self.nic)
    }
}

impl Scene<'_> {
    fn play(&self, vm: &Vm, kernel: Kernel) -> Result<Run> {
        let results = self.runs.join(kernel.line.name());
        if results.exists() {
            fs::remove_dir_all(&results).context("remove the results of an earlier run")?;
        }
        fs::create_dir_all(&results).with_context(|| format!("make {}", results.display()))?;
        let accelerator = Accelerator::find();
        let nics = vm.nics();
        let (suites, filters) = choose(suites::of(kernel.line, nics), &vm.filters);
        let machine = (accelerator, nics);
        let plan = suites::plan(&kernel, &suites, self.built, filters, machine)?;
        let initramfs = results.join("initramfs");
        initramfs::write(&kernel, self.init, &plan, &initramfs)?;
        println!(
            "── Linux {} under QEMU ({})",
            kernel.version,
            accelerator.name()
        );
        let machine = Machine {
            vmlinux: &kernel.vmlinux,
            initramfs: &initramfs,
            modules: &kernel.modules,
            results: &results,
            accelerator,
            nics,
        };
        let begin = Instant::now();
        let ending = qemu::run(&machine, Duration::from_secs(vm.timeout))?;
        let time = begin.elapsed();
        let names: Vec<&str> = suites.iter().map(|suite| suite.name).collect();
        let run = Run {
            rows: report::read(&results, &names)?,
            features: page::read(&results),
            kernel,
            ending,
            time,
        };
        if run.failed() == 0 && !vm.keep {
            fs::remove_dir_all(&results).context("remove the results")?;
        }
        Ok(run)
    }
}

/// The suites that are named by the filters, and the filters for their tests.
fn choose<'a>(all: &[Suite], filters: &'a [String]) -> (Vec<Suite>, &'a [String]) {
    let is_named = |suite: &&Suite| filters.iter().any(|filter| filter == suite.name);
    let named: Vec<Suite> = all.iter().filter(is_named).copied().collect();
    if named.is_empty() {
        (all.to_vec(), filters)
    } else {
        (named, &[])
    }
}
