//! The root: the host's, read-only, below an overlay in memory that takes what is written.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::symlink;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use rustix::process::{chdir, chroot};

/// Where the initramfs mounts what becomes the root.
const ROOT: &str = "/root";
/// Where tests write what the host reads afterwards.
pub const RESULTS: &str = "/run/results";

/// 9p over virtio; large messages, and caching, as nothing below is written while we run.
const NINE_P: &CStr = c"trans=virtio,version=9p2000.L,msize=524288,cache=loose";
const NINE_P_UNCACHED: &CStr = c"trans=virtio,version=9p2000.L,msize=524288";

/// Mounts what the kernel makes itself, below `root`.
///
/// # Errors
/// When one cannot be mounted.
pub fn kernel_file_systems(root: &str) -> Result<()> {
    for (kind, on) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount_on(kind, kind, &format!("{root}{on}"), None)?;
    }
    Ok(())
}

/// Makes the host's files the root, with modules of the kernel `version` and places to write. What
/// others write on the host meanwhile is hidden, unless the repository, `directory`, is there.
///
/// # Errors
/// What cannot be mounted.
pub fn enter(version: &str, directory: &str) -> Result<()> {
    mount_on("9p", "hostroot", "/host", Some(NINE_P))?;
    mount_on("tmpfs", "tmpfs", "/written", Some(c"size=75%"))?;
    fs::create_dir_all("/written/upper")?;
    fs::create_dir_all("/written/work")?;
    let overlay = c"lowerdir=/host,upperdir=/written/upper,workdir=/written/work";
    mount_on("overlay", "root", ROOT, Some(overlay))?;
    // The initramfs has them from the host: this kernel's, which the host does not have.
    let modules = format!("{ROOT}/lib/modules/{version}");
    mount_on("9p", "modules", "/kernel", Some(NINE_P))?;
    fs::create_dir_all(&modules)?;
    mount_bind("/kernel", modules.as_str()).context("bind the modules")?;
    switch()?;
    kernel_file_systems("")?;
    rest()?;
    if !directory.starts_with("/tmp/") {
        mount_on("tmpfs", "tmp", "/tmp", None)?;
    }
    Ok(())
}

/// What `switch_root` does. What was mounted below stays where it is: out of sight.
fn switch() -> Result<()> {
    chdir(ROOT).context("enter the root")?;
    mount_move(".", "/").context("move the root")?;
    chroot(".").context("change the root")?;
    chdir("/").context("enter the root")
}

/// What an init of a distribution mounts.
fn rest() -> Result<()> {
    mount_on("tmpfs", "run", "/run", None)?;
    mount_on("tmpfs", "shm", "/dev/shm", None)?;
    mount_on("devpts", "devpts", "/dev/pts", None)?;
    mount_on("bpf", "bpf", "/sys/fs/bpf", None)?;
    mount_on("tracefs", "tracefs", "/sys/kernel/tracing", None)?;
    mount_on("cgroup2", "cgroup2", "/sys/fs/cgroup", None)?;
    mount_on("9p", "results", RESULTS, Some(NINE_P_UNCACHED))?;
    if !Path::new("/dev/fd").exists() {
        symlink("/proc/self/fd", "/dev/fd").context("link /dev/fd")?;
    }
    Ok(())
}

fn mount_on(kind: &str, source: &str, on: &str, options: Option<&CStr>) -> Result<()> {
    fs::create_dir_all(on).with_context(|| format!("make {on}"))?;
    mount(source, on, kind, MountFlags::empty(), options)
        .with_context(|| format!("mount {kind} {source} on {on}"))
}
