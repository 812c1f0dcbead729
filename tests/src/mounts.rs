//! The kernel's file system that ftpfw needs.

use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount};

/// Where pins are.
pub const BPF: &str = "/sys/fs/bpf";

/// Mounts a bpffs where a distribution's init would have; containers have none.
///
/// # Errors
/// Without root, or when the kernel has no such file system.
pub fn ensure() -> Result<()> {
    // Each mount makes a new, empty bpffs: two threads that both mount would hide the pins of one.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    if !is_mounted("bpf", BPF)? {
        mount("bpf", BPF, "bpf", MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("mount bpffs on {BPF}"))?;
    }
    Ok(())
}

/// The command, in a mount namespace of its own that the lines of shell `set_up` have prepared. All of
/// them replace each other: the pid is that of the command.
#[must_use]
pub fn in_own_namespace(set_up: &str, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg(format!("{set_up} && exec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .env("NO_COLOR", "1");
    inside
}

fn is_mounted(kind: &str, path: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields
            .next()
            .is_some_and(|on| Path::new(on) == Path::new(path))
            && fields.next() == Some(kind)
    }))
}
