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
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::phases::Phases;
use crate::{setup, test, workspace};
use kernel::Kernel;
use qemu::{Accelerator, Machine};
use report::Run;
use suites::{Built, Suite};
use topology::{Nic, Topology};

pub use kernel::Line;
pub use qemu::PROGRAM as QEMU;
pub use sources::KEYS;

/// Time for a suite, s: far more than any takes on an emulated processor.
const TIMEOUT: u64 = 7200;

/// The arguments of `cargo xtask vm`.
#[derive(Debug, Args)]
pub struct Vm {
    /// The newest of Debian's kernels of that line; may be given several times
    #[arg(long = "kernel", value_enum, value_name = "LINE", default_values = ["6.1", "6.12"])]
    kernels: Vec<Line>,
    /// What joins the hosts of the tests
    #[arg(long, value_enum, default_value_t = Topology::Veth)]
    topology: Topology,
    /// The NICs of the topology `hub`, which this implies [default: virtio]
    #[arg(long, value_enum)]
    nic: Option<Nic>,
    /// Fetch the kernels anew: there may be newer ones of their lines
    #[arg(long)]
    refresh: bool,
    /// Only the suites that run on every kernel, on 6.12 too
    #[arg(long)]
    smoke: bool,
    /// Machines side by side, one for each suite [default: one for each processor, as far as memory goes]
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Time for each suite
    #[arg(long, default_value_t = TIMEOUT, value_name = "SECONDS")]
    timeout: u64,
    /// Keep the logs of a run that passed, too, in target/vm/runs
    #[arg(long)]
    keep: bool,
    /// Write docs/kernels.md from what was found; name all kernels that it shall have
    #[arg(long)]
    page: bool,
    /// Only the suites with one of these names, or of a suite only the tests with `SUITE::TEST` in their
    /// names; or, when there is no such suite, only the tests whose names contain one of them
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
    let mut lines = vm.kernels.clone();
    lines.sort();
    lines.dedup();
    let mut plans = Vec::new();
    for line in lines {
        let suites = vm.suites(line)?;
        ensure!(
            !vm.page || suites.iter().any(|it| it.0.name == suites::FEATURES),
            "{} is written of what the suite {} finds: it must be among those that run",
            page::PAGE,
            suites::FEATURES
        );
        plans.push((line, suites));
    }
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
    for (line, suites) in plans {
        let kernel = phases.step(&format!("kernel {}", line.name()), || {
            kernel::obtain(line, &cache.join("kernels"), vm.refresh)
        })?;
        let scene = Scene {
            init: &init,
            built: &built,
            runs: &cache.join("runs"),
        };
        runs.push(scene.play(vm, kernel, &suites)?);
    }
    if report::print(&runs) {
        if vm.page {
            page::write(&runs)?;
        }
        return Ok(());
    }
    ensure!(
        runs.iter().any(|run| run.failed() > 0),
        "no test ran: `cargo xtask vm SUITE`, `SUITE::TEST` or `TEST`, by a part of its name"
    );
    bail!(
        "not all passed; the logs are in {}",
        cache.join("runs").display()
    );
}

/// The kernel that CI has a look at, with what is tried on every kernel.
///
/// # Errors
/// As [`run`].
pub fn smoke() -> Result<()> {
    run(&Vm {
        kernels: vec![Line::V6_12],
        topology: Topology::Veth,
        nic: None,
        refresh: false,
        smoke: true,
        jobs: None,
        timeout: TIMEOUT,
        keep: false,
        page: false,
        filters: Vec::new(),
    })
}

/// A suite, and the filters for its tests.
type Chosen = (Suite, Vec<String>);

/// What all machines have.
struct Scene<'a> {
    init: &'a Path,
    built: &'a [Built],
    runs: &'a Path,
}

impl Vm {
    /// The NICs that a machine has.
    fn nics(&self) -> Option<Nic> {
        match self.topology {
            Topology::Hub => Some(self.nic.unwrap_or(Nic::Virtio)),
            Topology::Veth => self.nic,
        }
    }

    /// What runs on a kernel.
    fn suites(&self, line: Line) -> Result<Vec<Chosen>> {
        let nics = self.nics();
        let more = if nics.is_none() { suites::ALL } else { &[] };
        choose(suites::of(line, nics, self.smoke), more, &self.filters)
    }
}

impl Scene<'_> {
    fn play(&self, vm: &Vm, kernel: Kernel, suites: &[Chosen]) -> Result<Run> {
        let results = self.runs.join(kernel.line.name());
        if results.exists() {
            fs::remove_dir_all(&results).context("remove the results of an earlier run")?;
        }
        let accelerator = Accelerator::find();
        let jobs = match vm.jobs {
            Some(jobs) => jobs.get(),
            None => qemu::that_fit()?.min(thread::available_parallelism()?.get()),
        };
        let jobs = jobs.min(suites.len());
        println!(
            "── Linux {} under QEMU ({}), {jobs} at once",
            kernel.version,
            accelerator.name()
        );
        let begin = Instant::now();
        let waiting = Mutex::new(suites.iter().enumerate());
        let rows = Mutex::new(vec![report::Row::default(); suites.len()]);
        let work = || -> Result<()> {
            loop {
                let next = waiting.lock().expect("nobody panics").next();
                let Some((at, (suite, filters))) = next else {
                    return Ok(());
                };
                let results = results.join(suite.name);
                let row = self.run(vm, &kernel, (suite, filters), (accelerator, &results))?;
                rows.lock().expect("nobody panics")[at] = row;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            let ended = workers.into_iter().map(|it| it.join().expect("no panic"));
            ended.collect::<Result<()>>()
        })?;
        let run = Run {
            rows: rows.into_inner().expect("nobody panics"),
            features: page::read(&results.join(suites::FEATURES)),
            time: begin.elapsed(),
            kernel,
        };
        if run.failed() == 0 && !vm.keep {
            fs::remove_dir_all(&results).context("remove the results")?;
        }
        Ok(run)
    }

    /// Runs a suite in a machine of its own: what breaks one leaves the others alone.
    fn run(
        &self,
        vm: &Vm,
        kernel: &Kernel,
        (suite, filters): (&Suite, &[String]),
        (accelerator, results): (Accelerator, &Path),
    ) -> Result<report::Row> {
        fs::create_dir_all(results).with_context(|| format!("make {}", results.display()))?;
        let nics = vm.nics();
        let machine = (accelerator, nics);
        let plan = suites::plan(kernel, suite, self.built, filters, machine)?;
        let initramfs = results.join("initramfs");
        initramfs::write(kernel, self.init, &plan, &initramfs)?;
        let machine = Machine {
            name: suite.name,
            vmlinux: &kernel.vmlinux,
            initramfs: &initramfs,
            modules: &kernel.modules,
            results,
            accelerator,
            nics,
        };
        let ending = qemu::run(&machine, Duration::from_secs(vm.timeout))?;
        report::read(results, suite.name, &ending)
    }
}

/// The suites that are named by the filters, each with the filters for its tests: those of `all`, what they
/// have of it, and those of `more`. Without such a name, all of `all`, with the filters for their tests.
///
/// # Errors
/// When some filters are names, and another is none.
fn choose(all: &[Suite], more: &[Suite], filters: &[String]) -> Result<Vec<Chosen>> {
    let tests_of = |suite: &Suite, filter: &str| -> Option<Option<String>> {
        match filter.strip_prefix(suite.name)? {
            "" => Some(None),
            rest => Some(Some(rest.strip_prefix("::")?.to_owned())),
        }
    };
    let is_new = |it: &&Suite| all.iter().all(|other| other.name != it.name);
    let known: Vec<&Suite> = all.iter().chain(more.iter().filter(is_new)).collect();
    let mut named = Vec::new();
    for suite in &known {
        let tests = filters.iter().filter_map(|it| tests_of(suite, it));
        let tests: Vec<Option<String>> = tests.collect();
        if !tests.is_empty() {
            // One that names the whole suite goes before those that name tests.
            let tests: Option<Vec<String>> = tests.into_iter().collect();
            named.push((**suite, tests.unwrap_or_default()));
        }
    }
    if named.is_empty() {
        return Ok(all.iter().map(|it| (*it, filters.to_vec())).collect());
    }
    for filter in filters {
        ensure!(
            known.iter().any(|it| tests_of(it, filter).is_some()),
            "{filter} is no suite, and others are: write `SUITE::{filter}` for tests"
        );
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_tests_are_chosen_by_name() {
        let all = suites::of(Line::V6_1, None, false);
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
            let chosen = choose(all, suites::ALL, &words).unwrap().into_iter();
            chosen
                .map(|(suite, tests)| (suite.name, tests.join(" ")))
                .collect::<Vec<_>>()
        };
        let of = |tests: &str| Vec::from_iter(all.iter().map(|it| (it.name, tests.to_owned())));
        assert_eq!(chosen(&[]), of(""));
        assert_eq!(chosen(&["pasv", "epsv"]), of("pasv epsv"));
        let (one, no) = ("one_port", String::new());
        assert_eq!(chosen(&[one]), [(one, no.clone())]);
        assert_eq!(chosen(&[one, "one_port::pasv"]), [(one, no.clone())]);
        let words = ["features", "one_port::pasv", "one_port::port"];
        let tests = "pasv port".to_owned();
        assert_eq!(chosen(&words), [(one, tests), ("features", no.clone())]);
        // That kernel has no such suite by itself.
        assert_eq!(chosen(&["policy"]), [("policy", no)]);
        let words = ["policy", "epsv"].map(str::to_owned);
        assert!(choose(all, suites::ALL, &words).is_err());
    }
}
