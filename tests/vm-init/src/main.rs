//! Process 1 of a virtual machine: makes the host's files its own root, runs the test programs that
//! it is told to, and says by QEMU's exit status how it went.
//!
//! It is linked statically, as there is no library in an initramfs. `cargo xtask vm` builds it and
//! writes what it reads: `/modules`, a kernel module a line in the order of loading, and `/plan`
//! (see [`plan`]).

mod modules;
mod plan;
mod root;
mod suite;

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, wait};

use plan::Plan;

/// Where QEMU's `isa-debug-exit` is: it ends with the status `value << 1 | 1`.
const EXIT_PORT: u64 = 0xf4;
/// What is added to our own status, so that QEMU's own errors (1) are none of them.
const BASE: u8 = 16;
/// The argument of the process that does the work.
const WORK: &str = "work";
/// Where it finds the plan.
const PLAN: &str = "/run/plan";

/// Process 1 changes the root, and then does nothing but to inherit orphans and to reap them: they would
/// stay behind as zombies, and tests that wait for their end would wait in vain. A second process does
/// the work.
fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(WORK) {
        return work();
    }
    // Should this ever return, the kernel panics, which the host takes for a failure too.
    if let Err(error) = first() {
        eprintln!("vm-init: {error:#}");
    }
    ExitCode::FAILURE
}

fn first() -> Result<()> {
    root::kernel_file_systems("")?;
    // Before the root changes.
    let ports = OpenOptions::new().write(true).open("/dev/port");
    let ports = ports.context("open /dev/port")?;
    let status = serve().unwrap_or_else(|error| {
        eprintln!("vm-init: {error:#}");
        None
    });
    leave(&ports, status)
}

/// Has the work done; its status.
fn serve() -> Result<Option<i32>> {
    let text = fs::read_to_string("/plan").context("read /plan")?;
    let plan = Plan::read(&text)?;
    modules::load_listed()?;
    // Here, as the kernel's own threads have the root of process 1: there they look for `modprobe`.
    root::enter(&plan.version, &plan.directory)?;
    fs::write(PLAN, text).context("pass the plan on")?;
    let mut worker = Command::new("/proc/self/exe");
    let worker = worker.arg(WORK).stdin(Stdio::null()).spawn();
    let worker = worker.context("start the second process")?;
    loop {
        let Some((pid, status)) = wait(WaitOptions::empty()).context("wait")? else {
            continue;
        };
        if pid.as_raw_nonzero().get().cast_unsigned() == worker.id() {
            return Ok(status.exit_status());
        }
    }
}

/// 0: all passed; 1: some did not; 2: something else went wrong.
fn work() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vm-init: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// As many open files as systemd allows to be asked for. The kernel by itself allows 4,096.
fn allow_open_files() -> Result<()> {
    const MOST: u64 = 1 << 19;
    let limit = getrlimit(Resource::Nofile);
    let maximum = Some(MOST);
    setrlimit(Resource::Nofile, Rlimit { maximum, ..limit }).context("raise RLIMIT_NOFILE")
}

/// Whether all suites passed.
fn run() -> Result<bool> {
    let plan = Plan::read(&fs::read_to_string(PLAN).context("read the plan")?)?;
    plan.modules.iter().for_each(|it| modules::probe(it));
    loopback_up()?;
    allow_open_files()?;
    env::set_current_dir(&plan.directory).with_context(|| format!("enter {}", plan.directory))?;
    let mut all_passed = true;
    for suite in &plan.suites {
        all_passed &= suite::run(suite, &plan.environment)?;
    }
    Ok(all_passed)
}

fn loopback_up() -> Result<()> {
    let mut command = Command::new("/sbin/ip");
    let status = command.args(["link", "set", "lo", "up"]).status();
    let status = status.context("run ip")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Ends the machine at once. Results are on the host already: nothing of them is cached here.
fn leave(ports: &File, status: Option<i32>) -> Result<()> {
    // A worker that was killed has none.
    let status = status.and_then(|it| u8::try_from(it).ok()).unwrap_or(2);
    ports
        .write_all_at(&[BASE + status.min(100)], EXIT_PORT)
        .context("write to the exit port")
}
