//! The control group that an FTP daemon has for itself, as systemd gives each of its services one.
//!
//! What runs there is the daemon's even if it does not descend from the process that listens, or runs
//! another program. A group is the daemon's own if every process in it that was started from
//! elsewhere runs the daemon's program: a login session, or a super-server's service, is not.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use procfs::process::Process;

/// A control group of the unified hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What `bpf_get_current_cgroup_id` answers in it: the inode of its directory.
    pub id: u64,
    /// Its processes.
    pub processes: HashSet<i32>,
}

/// The control group of `daemon`, if it has one of its own.
#[must_use]
pub fn of(daemon: &Process) -> Option<Group> {
    let groups = daemon.cgroups().ok()?;
    let unified = groups.into_iter().find(|group| group.hierarchy == 0)?;
    let path = unified.pathname.strip_prefix('/')?;
    if path.is_empty() {
        return None;
    }
    let directory = mount_point()?.join(path);
    let group = Group {
        id: fs::metadata(&directory).ok()?.ino(),
        processes: processes(&directory)?,
    };
    group.is_own(&daemon.exe().ok()?).then_some(group)
}

impl Group {
    fn is_own(&self, program: &Path) -> bool {
        self.processes
            .iter()
            .filter_map(|&pid| Process::new(pid).ok())
            .all(|process| {
                let parent = process.stat().map(|stat| stat.ppid);
                parent.is_ok_and(|parent| self.processes.contains(&parent))
                    || process.exe().is_ok_and(|exe| exe == program)
            })
    }
}

/// Where the unified hierarchy is mounted: /sys/fs/cgroup, or below it beside the older ones.
fn mount_point() -> Option<PathBuf> {
    let mounts = Process::myself().ok()?.mountinfo().ok()?;
    let mount = mounts.into_iter().find(|it| it.fs_type == "cgroup2")?;
    Some(mount.mount_point)
}

fn processes(group: &Path) -> Option<HashSet<i32>> {
    let text = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    text.lines().map(|line| line.parse().ok()).collect()
}
