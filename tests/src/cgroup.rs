//! Control groups of the unified hierarchy, as systemd makes one for each service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, Result};

/// A control group, removed on drop if it is empty then.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A new one, without processes.
    ///
    /// # Errors
    /// When no unified hierarchy is mounted, or this is not root.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (process::id(), COUNT.fetch_add(1, Relaxed));
        let path = mount_point()?.join(format!("ftpfw-test-{pid}-{number}.service"));
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    /// The file that takes a process in when its number is written there.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Takes a process in; what it starts from now on is in, too.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn add(&self, pid: u32) -> Result<()> {
        let path = self.processes();
        fs::write(&path, pid.to_string()).with_context(|| format!("{pid} into {}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// /sys/fs/cgroup, or a directory below it beside the older hierarchies.
fn mount_point() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&"cgroup2"))
        .map(|fields| Path::new(fields[1]).to_owned())
        .context("no unified hierarchy of control groups is mounted: mount -t cgroup2 none DIR")
}
