//! Taking everything out of the kernel again.

use std::{fs, io, path::Path};

use anyhow::{Context as _, bail};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{
    PinDir, link,
    maps::PINNED,
    pins::{self, PinnedInterface},
    tc, tracepoint,
};

/// Removes all links and maps that are pinned here. Whether there was anything.
///
/// # Errors
///
/// When something is there and cannot be removed.
pub fn everything(pins: &PinDir) -> anyhow::Result<bool> {
    if !pins.path().exists() {
        return Ok(false);
    }
    refuse_other_file_system(pins.path())?;
    let found = pins.in_use();
    for pinned in pins.interfaces()? {
        interface(&pinned)?;
    }
    for (program, _) in tracepoint::all() {
        remove_link(&pins.tracepoint_link(program))?;
        remove_link(&pins.new_tracepoint_link(program))?;
    }
    maps(pins)?;
    pins.remove_directories();
    Ok(found)
}

/// Removes the links of one interface: the filter first, so that nothing is filtered that is not
/// followed.
///
/// # Errors
///
/// When a link cannot be removed.
pub fn interface(interface: &PinnedInterface) -> anyhow::Result<()> {
    let directory = &interface.links;
    let mut links = pins::list(directory)?;
    let is_filter = |link: &Path| {
        let name = link.file_name().and_then(|name| name.to_str());
        name.and_then(pins::filter_of).is_some()
    };
    links.sort_by_key(|link| !is_filter(link));
    links.iter().try_for_each(|link| remove_link(link))?;
    fs::remove_dir(directory).with_context(|| format!("cannot remove {}", directory.display()))
}

/// Removes the pins of the maps. Programs that use them keep them.
pub(super) fn maps(pins: &PinDir) -> anyhow::Result<()> {
    PINNED
        .iter()
        .try_for_each(|name| remove_file(&pins.map(name)))
}

/// What is under another file system is none of ours, whatever it is called.
fn refuse_other_file_system(path: &Path) -> anyhow::Result<()> {
    if statfs(path).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    bail!(
        "{} is not on a bpffs: nothing of ftpfw's can be pinned there",
        path.display()
    )
}

/// Detaches what is pinned at `path`, and removes the pin. Packets pass when this returns.
pub(super) fn remove_link(path: &Path) -> anyhow::Result<()> {
    let detached = match tc::detach_netlink(path)? {
        true => Ok(()),
        false => link::detach(path),
    };
    match detached {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        detached => detached.with_context(|| format!("cannot detach {}", path.display()))?,
    }
    remove_file(path)
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}
