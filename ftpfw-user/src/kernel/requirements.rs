//! What must be there before anything is loaded: privileges, BTF, file systems, memory.

use std::path::Path;

use anyhow::{Context as _, bail};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, setrlimit},
        statfs::{BPF_FS_MAGIC, FsType, statfs},
    },
};

use super::btf::VMLINUX;

/// Numbers and names of the capabilities that the agent needs (`linux/capability.h`).
const CAPABILITIES: [(u8, &str); 3] = [
    (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];
const CAP_NET_ADMIN: u8 = 12;
/// Stands in for `CAP_PERFMON` and `CAP_BPF`.
const CAP_SYS_ADMIN: u8 = 21;

const BPFFS: &str = "/sys/fs/bpf";

/// Checks everything, and mounts what is merely not mounted.
///
/// # Errors
///
/// A sentence that says what is missing and what to do.
pub fn prepare(pin_dir: &Path) -> anyhow::Result<()> {
    privileges()?;
    btf()?;
    bpffs(pin_dir)?;
    lock_memory();
    Ok(())
}

/// Kernels before 5.11 charge maps and programs to `RLIMIT_MEMLOCK`; later ones do not care. Of this process
/// only, and before it gives up its privileges.
pub fn lock_memory() {
    let _not_allowed = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// Whether this process may load and attach programs.
///
/// # Errors
///
/// The capabilities that are missing.
pub fn privileges() -> anyhow::Result<()> {
    let status = procfs::process::Process::myself()
        .and_then(|me| me.status())
        .context("cannot read /proc/self/status: is /proc mounted?")?;
    let has = |number: u8| status.capeff >> number & 1 == 1;
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(number, _)| !has(*number) && (*number == CAP_NET_ADMIN || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "not permitted: {} missing; run ftpfw as root",
        missing.join(", ")
    )
}

/// Whether the kernel tells its types.
///
/// # Errors
///
/// The option that it was built without.
pub fn btf() -> anyhow::Result<()> {
    if Path::new(VMLINUX).exists() {
        return Ok(());
    }
    bail!("the kernel has no BTF ({VMLINUX}): ftpfw needs one built with CONFIG_DEBUG_INFO_BTF=y")
}

/// Whether the directory is, or would be made, on a bpffs.
#[must_use]
pub fn is_on_bpffs(pin_dir: &Path) -> bool {
    let mut existing = pin_dir.ancestors();
    let existing = existing.find(|path| path.exists());
    existing.is_some_and(|path| is_mounted(path, BPF_FS_MAGIC))
}

/// Whether `ftpfw run` mounts the bpffs of this directory itself, where none is.
#[must_use]
pub fn is_mounted_by_run(pin_dir: &Path) -> bool {
    pin_dir.starts_with(BPFFS) && Path::new(BPFFS).exists()
}

/// The file system of the pin directory is a bpffs; the usual one is mounted if nothing is.
fn bpffs(pin_dir: &Path) -> anyhow::Result<()> {
    // The directory itself is made later; its file system is that of the nearest one that is there.
    let existing = pin_dir
        .ancestors()
        .find(|path| path.exists())
        .with_context(|| format!("{} is no absolute path", pin_dir.display()))?;
    if is_mounted(existing, BPF_FS_MAGIC) {
        return Ok(());
    }
    if pin_dir.starts_with(BPFFS)
        && mount_at(BPFFS, "bpf").is_ok()
        && is_mounted(Path::new(BPFFS), BPF_FS_MAGIC)
    {
        tracing::info!("mounted a bpffs at {BPFFS}");
        return Ok(());
    }
    bail!(
        "{} is not on a bpffs: mount one with `mount -t bpf bpf {}`, or choose another --pin-dir",
        pin_dir.display(),
        if pin_dir.starts_with(BPFFS) {
            BPFFS
        } else {
            "DIR"
        },
    )
}

fn is_mounted(path: &Path, magic: FsType) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == magic)
}

fn mount_at(path: &str, kind: &str) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), path, Some(kind), flags, None::<&str>)
}
