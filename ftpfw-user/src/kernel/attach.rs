//! Attaching everything, in an order that never filters what is not followed.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use ftpfw_common::abi::{
    policy::{Settings, ftps},
    programs,
};

use super::{
    Kernel, PinDir, detach, nic,
    pins::{AttachedMode, PinnedInterface},
    tc::{self, Role},
    tracepoint, xdp,
};
use crate::config::{FilterChoice, Interface};

pub use super::rollback::Rollback;

/// An interface with a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Which.
    pub interface: Interface,
    /// Where its filter runs.
    pub mode: AttachedMode,
}

/// Refuses interfaces that the programs cannot read, or that carry another XDP program, before
/// anything is changed.
///
/// # Errors
///
/// A sentence that names the interface and what is wrong with it.
pub async fn refuse_unfit(pins: &PinDir, interfaces: &[Interface]) -> anyhow::Result<()> {
    for interface in interfaces {
        nic::refuse_no_ethernet(interface).await?;
        // At TC there is room for others.
        if interface.mode != FilterChoice::Tc {
            xdp::refuse_foreign(interface, pins).await?;
        }
    }
    Ok(())
}

/// Attaches to all interfaces, or adopts the links that are pinned for them.
///
/// The tracepoint comes first and the filter last: what the filter admits by a tuple must already
/// be followed and claimed. `rollback` learns what was made.
///
/// What comes with it are the interfaces that an earlier agent protected and this one was not asked for: the
/// caller lets them go ([`forget`]) when nothing can fail any more.
///
/// # Errors
///
/// The first that fails, as [`attach_interfaces`] leaves it.
pub fn attach(
    kernel: &mut Kernel,
    pins: &PinDir,
    interfaces: &[Interface],
    settings: Settings,
    rollback: &mut Rollback,
) -> anyhow::Result<(Vec<Attached>, Vec<PinnedInterface>)> {
    verify(kernel, interfaces)?;
    let others = recognise(kernel, pins, interfaces)?;
    attach_tracepoints(kernel, pins, settings, rollback)?;
    let attached = attach_interfaces(kernel, pins, interfaces, rollback)?;
    Ok((attached, others))
}

/// Attaches to interfaces, or adopts the links that are pinned for them; the tracepoints are there.
///
/// # Errors
///
/// The first that fails, and all is [undone](undo) then.
pub fn attach_interfaces(
    kernel: &mut Kernel,
    pins: &PinDir,
    interfaces: &[Interface],
    rollback: &mut Rollback,
) -> anyhow::Result<Vec<Attached>> {
    let attached = attach_all(kernel, pins, interfaces, rollback);
    if attached.is_err() {
        undo(kernel, pins, interfaces, rollback);
    }
    attached
}

/// Each interface that had a filter gets it back in the mode that it had, with no moment without one; the
/// links that were made for the others go.
pub fn undo(kernel: &mut Kernel, pins: &PinDir, interfaces: &[Interface], rollback: &mut Rollback) {
    let mut new = Vec::new();
    for interface in interfaces {
        match rollback.mode_before(interface.index) {
            Some(mode) => restore(kernel, pins, interface, mode, rollback),
            None => new.push(interface),
        }
    }
    rollback.take_back();
    for interface in new {
        unprepare(kernel, pins, interface);
    }
}

/// Followers everywhere, then the filters.
fn attach_all(
    kernel: &mut Kernel,
    pins: &PinDir,
    interfaces: &[Interface],
    rollback: &mut Rollback,
) -> anyhow::Result<Vec<Attached>> {
    for interface in interfaces {
        let links = prepare(kernel, pins, interface)?;
        tc::attach(kernel.replies()?, Role::Egress, interface, &links, rollback)?;
    }
    if forwards() {
        thread::sleep(LEARNING);
    }
    let mut attached = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        attached.push(attach_one(kernel, pins, interface, rollback)?);
    }
    Ok(attached)
}

/// How long connections of containers are learnt from what they send, before a filter drops what
/// they are sent: longer than an acknowledgment is delayed (`TCP_DELACK_MAX`, 200 ms).
const LEARNING: Duration = Duration::from_millis(250);

/// Whether this host forwards packets: of containers, say.
fn forwards() -> bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .iter()
        .any(|name| {
            let value = fs::read_to_string(Path::new("/proc/sys/net").join(name));
            value.is_ok_and(|value| value.trim() != "0")
        })
}

/// Gives an interface a directory for its links, which is returned, and counters of its own.
fn prepare(kernel: &Kernel, pins: &PinDir, interface: &Interface) -> anyhow::Result<PathBuf> {
    let links = links(pins, interface);
    fs::create_dir_all(&links).with_context(|| format!("cannot make {}", links.display()))?;
    let protected: Vec<u32> = pins.interfaces()?.iter().map(|it| it.index).collect();
    kernel.maps().nics()?.assign(interface.index, &protected)?;
    Ok(links)
}

/// Has the programs verified that will be needed, before anything is changed.
fn verify(kernel: &mut Kernel, interfaces: &[Interface]) -> anyhow::Result<()> {
    for (name, _) in tracepoint::all() {
        kernel.tracepoint(name)?;
    }
    kernel.verify(programs::FORGET)?;
    kernel.verify(programs::TURNED)?;
    kernel.replies()?;
    for interface in interfaces {
        match interface.mode {
            FilterChoice::Tc => drop(kernel.guard()?),
            FilterChoice::Generic => {
                kernel.commands()?;
                kernel.ingress(AttachedMode::Generic)?;
            }
            FilterChoice::Auto | FilterChoice::Native => {
                kernel.commands()?;
                kernel.ingress(AttachedMode::Native)?;
            }
        }
    }
    Ok(())
}

/// Attaches to one interface, or adopts the links that are pinned for it: the follower first, so
/// that nothing is filtered that is not followed, and never a moment without the filter that was there.
///
/// # Errors
///
/// What fails first; `rollback` has what was made.
pub fn attach_one(
    kernel: &mut Kernel,
    pins: &PinDir,
    interface: &Interface,
    rollback: &mut Rollback,
) -> anyhow::Result<Attached> {
    let links = prepare(kernel, pins, interface)?;
    tc::attach(kernel.replies()?, Role::Egress, interface, &links, rollback)?;
    let guarded = tc::filters(&links)?;
    let by_tc = match interface.mode {
        FilterChoice::Tc => true,
        FilterChoice::Auto => guarded,
        FilterChoice::Native | FilterChoice::Generic => false,
    };
    let mode = if by_tc {
        tc::attach(kernel.guard()?, Role::Guard, interface, &links, rollback)?;
        xdp::remove(&links)?;
        AttachedMode::Tc
    } else {
        // XDP has one mode at a time (`dev_xdp_attach` in net/core/dev.c): TC filters in between.
        let guarded = guarded || xdp::changes_mode(interface, &links);
        let (program, role) = match guarded {
            true => (kernel.guard()?, Role::Guard),
            false => (kernel.commands()?, Role::Ingress),
        };
        tc::attach(program, role, interface, &links, rollback)?;
        let mode = xdp::attach(kernel, interface, &links, rollback)?;
        if guarded {
            tc::attach(
                kernel.commands()?,
                Role::Ingress,
                interface,
                &links,
                rollback,
            )?;
        }
        mode
    };
    Ok(Attached {
        interface: interface.clone(),
        mode,
    })
}

/// Gives an interface the mode back in which its filter ran before. If that cannot be, whatever filters it
/// now stays.
fn restore(
    kernel: &mut Kernel,
    pins: &PinDir,
    interface: &Interface,
    mode: AttachedMode,
    rollback: &mut Rollback,
) {
    let before = Interface {
        mode: mode.into(),
        ..interface.clone()
    };
    let restored = attach_one(kernel, pins, &before, rollback);
    rollback.keep_those_in(&links(pins, interface));
    if let Err(error) = restored {
        tracing::error!("{} is not protected as before: {error:#}", before.name);
    }
}

/// Takes back what [`prepare`] did for an interface that got no links.
fn unprepare(kernel: &Kernel, pins: &PinDir, interface: &Interface) {
    let links = links(pins, interface);
    if let Err(error) = fs::remove_dir(&links) {
        return tracing::debug!("{} stays: {error}", links.display());
    }
    // With them, what comes in by it would count as coming from a protected one.
    let released = kernel.maps().nics();
    if let Err(error) = released.and_then(|mut nics| nics.release(interface.index)) {
        tracing::error!("{} keeps its counters: {error:#}", interface.name);
    }
}

/// The interface is gone: what was attached to it went with it, and the rest goes now.
///
/// # Errors
///
/// When a pin cannot be removed.
pub fn forget(kernel: &Kernel, pinned: &PinnedInterface) -> anyhow::Result<()> {
    detach::interface(pinned)?;
    kernel.maps().nics()?.release(pinned.index)
}

fn links(pins: &PinDir, interface: &Interface) -> PathBuf {
    pins.interface(interface.index, &interface.name)
}

/// Interfaces that were renamed since an earlier agent protected them are still the same; those that are gone
/// are forgotten. Those that this one was not asked to protect are returned.
fn recognise(
    kernel: &Kernel,
    pins: &PinDir,
    interfaces: &[Interface],
) -> anyhow::Result<Vec<PinnedInterface>> {
    let mut others = Vec::new();
    for pinned in pins.interfaces()? {
        let wanted = interfaces.iter().find(|it| it.index == pinned.index);
        match wanted {
            Some(interface) if interface.name == pinned.name => {}
            Some(interface) => pins.rename(&pinned, &interface.name)?,
            None => {
                let is_gone = nic::name_of(pinned.index).is_none();
                if !is_gone || forget(kernel, &pinned).is_err() {
                    others.push(pinned);
                }
            }
        }
    }
    Ok(others)
}

/// Without the tracepoint of sockets the first SYN claims a tuple: a spoofed one can then burn it, but
/// transfers work. Without any one of them nobody tells what an FTP daemon listens on.
fn attach_tracepoints(
    kernel: &mut Kernel,
    pins: &PinDir,
    settings: Settings,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let processes = tracepoint::attach(&tracepoint::PROCESSES, kernel, pins, rollback)?;
    let sockets = tracepoint::attach(&tracepoint::SOCKETS, kernel, pins, rollback)?;
    let mut settings = settings;
    if let Err(error) = &sockets {
        settings.claim_on_syn = 1;
        tracing::warn!("{error:#}; tuples are claimed by the first SYN instead");
    }
    if let Err(error) = processes.and(sockets)
        && settings.ftps == ftps::LISTENER
    {
        settings.ftps = ftps::DENY;
        tracing::warn!(
            "{error:#}; passive FTPS is refused: name the daemon's ports to allow it, \
             `--ftps range --passive-ports LO-HI`"
        );
    }
    kernel.set_settings(settings)
}
