//! One machine: QEMU from its start to its end.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ftpfw_tests::programs;

use super::topology::{self, Nic};
use crate::proc;

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// What runs the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU, 6 to 30 times slower.
    Tcg,
}

impl Accelerator {
    /// KVM where it truly works. That `/dev/kvm` can be opened is not enough: without `vmx` or `svm` it
    /// is a paravirtual one (PVM), under which a stock kernel hangs.
    pub fn find() -> Self {
        let writable = OpenOptions::new().write(true).open("/dev/kvm").is_ok();
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut flags = processor.split_whitespace();
        if writable && flags.any(|flag| flag == "vmx" || flag == "svm") {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }

    /// A word for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG, without a processor's help",
        }
    }

    /// How much longer everything may take.
    pub const fn patience(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 8,
        }
    }

    /// How many the machine has. Emulated ones wait for each other longer than they gain.
    const fn processors(self) -> &'static str {
        match self {
            Self::Kvm => "2",
            Self::Tcg => "1",
        }
    }

    const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Without those two features: the kernel would copy by instructions that are emulated byte by byte.
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"],
        }
    }
}

/// What a machine is made of.
pub struct Machine<'a> {
    /// Stands before each line that its console says.
    pub name: &'a str,
    /// The kernel.
    pub vmlinux: &'a Path,
    /// Its initramfs.
    pub initramfs: &'a Path,
    /// Its modules, for `modprobe`.
    pub modules: &'a Path,
    /// Where the guest writes; the host reads it.
    pub results: &'a Path,
    /// What runs it.
    pub accelerator: Accelerator,
    /// NICs on a hub, if it has any.
    pub nics: Option<Nic>,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was asked for ran and passed.
    Passed,
    /// Everything ran, not everything passed.
    Failed,
    /// It did not come to its end; in a sentence.
    Broke(String),
}

/// Memory: what tests write is in it too.
const MEGABYTES: u64 = 3072;

/// How many machines fit into the memory that is free; at least one is tried.
///
/// # Errors
/// When the kernel does not tell.
pub fn that_fit() -> Result<usize> {
    /// QEMU's own, MiB.
    const OVERHEAD: u64 = 256;
    let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let free = proc::field(&text, "MemAvailable:").context("no MemAvailable")?;
    let fit = free / 1024 / (MEGABYTES + OVERHEAD);
    Ok(usize::try_from(fit)?.max(1))
}

/// Runs a machine; what its console says is printed. Nothing of the host can be written but `results`.
///
/// # Errors
/// When QEMU cannot be started.
pub fn run(machine: &Machine<'_>, timeout: Duration) -> Result<Ending> {
    let deadline = Instant::now() + timeout;
    let mut child = command(machine)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {PROGRAM}"))?;
    let console = child.stdout.take().context("it has a console")?;
    let mut kept = fs::File::create(machine.results.join("console"))?;
    let prefix = format!("{:<19} | ", machine.name).into_bytes();
    let reader = thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n') {
            let Ok(mut line) = line else { break };
            line.retain(|byte| *byte != b'\r');
            line.push(b'\n');
            let _for_watching_only = std::io::stdout().write_all(&[&prefix[..], &line].concat());
            let _for_reading_only = kept.write_all(&line);
        }
    });
    let status = wait(&mut child, deadline);
    let _panicked = reader.join();
    Ok(match status? {
        Some(status) => decode(status),
        None => Ending::Broke(format!("it was not done after {} s", timeout.as_secs())),
    })
}

/// `None`: it was killed at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("wait for QEMU")? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill().context("kill QEMU")?;
            child.wait().context("wait for QEMU")?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Process 1 of the guest writes `16 + status` to the exit device, which makes it `value << 1 | 1`.
fn decode(status: ExitStatus) -> Ending {
    match status.code() {
        Some(33) => Ending::Passed,
        Some(35) => Ending::Failed,
        Some(37) => Ending::Broke("its process 1 failed, see above".to_owned()),
        Some(0) => Ending::Broke("its kernel panicked or rebooted".to_owned()),
        Some(code) => Ending::Broke(format!("QEMU ended with status {code}")),
        None => Ending::Broke(format!("QEMU was killed by signal {:?}", status.signal())),
    }
}

fn command(machine: &Machine<'_>) -> Result<Command> {
    // Whoever waits for it may be killed; and others use this computer as well.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "nice", "-n", "10"]);
    command.arg(programs::find(PROGRAM)?);
    command.args(machine.accelerator.arguments());
    command.args(["-smp", machine.accelerator.processors()]);
    command.args(["-machine", "q35", "-m", &MEGABYTES.to_string()]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    command.args(["-display", "none", "-serial", "stdio"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    share(&mut command, Path::new("/"), "hostroot", false)?;
    share(&mut command, machine.modules, "modules", false)?;
    share(&mut command, machine.results, "results", true)?;
    command.args(machine.nics.map(topology::hub).unwrap_or_default());
    command.arg("-kernel").arg(machine.vmlinux);
    command.arg("-initrd").arg(machine.initramfs);
    command.args(["-append", APPEND]);
    Ok(command)
}

/// The kernel's command line: quiet, fast, and ended by what goes wrong.
const APPEND: &str = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off init_on_alloc=0 \
                      no_timer_check nosoftlockup net.ifnames=0 rdinit=/init";

fn share(command: &mut Command, path: &Path, tag: &str, writable: bool) -> Result<()> {
    let path = path.to_str().context("a path is text")?;
    if path.contains(',') {
        bail!("QEMU takes no comma in a path: {path}");
    }
    let readonly = if writable { "off" } else { "on" };
    command.arg("-virtfs").arg(format!(
        "local,path={path},mount_tag={tag},security_model=none,readonly={readonly},multidevs=remap"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guest_can_say_that_all_passed() {
        let ended = |code: i32| decode(ExitStatus::from_raw(code << 8));
        assert_eq!(ended(33), Ending::Passed);
        assert_eq!(ended(35), Ending::Failed);
        for code in [0, 1, 37, 124] {
            assert!(matches!(ended(code), Ending::Broke(_)), "{code}");
        }
        assert!(matches!(decode(ExitStatus::from_raw(9)), Ending::Broke(_)));
    }
}
