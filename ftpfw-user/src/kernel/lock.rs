//! One `run` per pin directory.

use std::{fs::File, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};

use super::pins::PinDir;

/// Held by the process that owns a pin directory, as long as it lives.
///
/// It is a lock on the directory itself, not on a file named after it: two mounts that show the
/// same bpffs meet in it, and two bpffs at the same path of different mount namespaces do not.
#[derive(Debug)]
pub struct PinLock {
    _directory: Flock<File>,
}

/// Somebody else holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, where this process can see it.
    pub pid: Option<i32>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}"),
            None => f.write_str("pid unknown: in another pid namespace"),
        }
    }
}

impl PinLock {
    /// Locks the directory, which must exist; or who has it locked.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened or locked at all.
    pub fn take(pins: &PinDir) -> anyhow::Result<Result<Self, Holder>> {
        let path = pins.path();
        loop {
            let directory = File::open(path)
                .with_context(|| format!("cannot open the pin directory {}", path.display()))?;
            let inode = directory.metadata()?.ino();
            match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
                // It may have been removed, and made anew, by whom we waited for nothing.
                Ok(directory) if still_there(path, inode) => {
                    return Ok(Ok(Self {
                        _directory: directory,
                    }));
                }
                Ok(_removed_meanwhile) => pins.create()?,
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Ok(Err(Holder { pid: holder(inode) }));
                }
                Err((_, error)) => bail!("cannot lock {}: {error}", path.display()),
            }
        }
    }
}

fn still_there(path: &Path, inode: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode)
}

/// The process that holds a lock on this inode, from `/proc/locks`.
fn holder(inode: u64) -> Option<i32> {
    let locks = procfs::locks().ok()?;
    let lock = locks.iter().find(|lock| lock.inode == inode)?;
    // 0: it lives in a pid namespace that this process does not see.
    lock.pid.filter(|pid| *pid > 0)
}
