//! Taking everything out of the kernel again.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use aya::programs::{
    links::{FdLink, PinnedLink},
    loaded_links,
};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{
    PinDir,
    maps::PINNED,
    pins::{self, PinnedInterface},
    tc,
};

/// How long the kernel may take to detach what nothing refers to any more.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let mut found = pins.in_use();
    let mut gone = HashSet::new();
    for interface in pins.interfaces()? {
        found = true;
        gone.extend(remove_links(&interface.links)?);
    }
    found |= pins.sockets_link().exists();
    gone.extend(remove_link(&pins.sockets_link())?);
    maps(pins)?;
    pins.remove_directories();
    wait_until_gone(&gone);
    Ok(found)
}

/// Removes the links of one interface: the filter first, so that nothing is filtered that is not
/// followed.
///
/// # Errors
///
/// When a link cannot be removed.
pub fn interface(interface: &PinnedInterface) -> anyhow::Result<()> {
    let gone = remove_links(&interface.links)?;
    wait_until_gone(&gone);
    Ok(())
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

fn remove_links(directory: &Path) -> anyhow::Result<HashSet<u32>> {
    let mut links = pins::list(directory)?;
    links.sort_by_key(|link| {
        !link
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"xdp"))
    });
    let mut gone = HashSet::new();
    for link in links {
        gone.extend(remove_link(&link)?);
    }
    fs::remove_dir(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    Ok(gone)
}

/// Unpins a link; its id, if it is one.
fn remove_link(path: &Path) -> anyhow::Result<Option<u32>> {
    tc::detach_netlink(path)
        .with_context(|| format!("cannot remove the filter {}", path.display()))?;
    let id = PinnedLink::from_pin(path)
        .ok()
        .and_then(|link| Some(FdLink::from(link).info().ok()?.id()));
    remove_file(path)?;
    Ok(id)
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// The kernel frees a link some time after its last reference; whoever comes back from `detach`
/// may expect that packets pass.
fn wait_until_gone(ids: &HashSet<u32>) {
    let deadline = Instant::now() + PATIENCE;
    while still_there(ids) {
        if Instant::now() > deadline {
            tracing::warn!("the kernel still holds a link: another process has it open");
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn still_there(ids: &HashSet<u32>) -> bool {
    !ids.is_empty()
        && loaded_links()
            .map_while(Result::ok)
            .any(|link| ids.contains(&link.id()))
}
