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
/// # Errors
///
/// The first that fails; the caller's `rollback` then takes back the rest.
pub fn attach(
    kernel: &mut Kernel,
    pins: &PinDir,
    interfaces: &[Interface],
    settings: Settings,
    rollback: &mut Rollback,
) -> anyhow::Result<Vec<Attached>> {
    verify(kernel, interfaces)?;
    detach_others(kernel, pins, interfaces)?;
    attach_tracepoints(kernel, pins, settings, rollback)?;
    attach_interfaces(kernel, pins, interfaces, rollback)
}

/// Attaches to interfaces, or adopts the links that are pinned for them; the tracepoints are there.
///
/// # Errors
///
/// The first that fails; the caller's `rollback` then takes back the rest.
pub fn attach_interfaces(
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
/// What fails first; `rollback` then takes back the rest.
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
        if !guarded {
            tc::attach(
                kernel.commands()?,
                Role::Ingress,
                interface,
                &links,
                rollback,
            )?;
        }
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

/// An earlier agent protected interfaces that this one was not asked to protect, or that are gone;
/// one that was renamed since is still the same.
fn detach_others(kernel: &Kernel, pins: &PinDir, interfaces: &[Interface]) -> anyhow::Result<()> {
    for pinned in pins.interfaces()? {
        let wanted = interfaces
            .iter()
            .find(|interface| interface.index == pinned.index);
        match wanted {
            Some(interface) if interface.name == pinned.name => {}
            Some(interface) => {
                fs::rename(&pinned.links, links(pins, interface))
                    .with_context(|| format!("cannot rename {}", pinned.links.display()))?;
            }
            None => {
                forget(kernel, &pinned)?;
                tracing::info!("{}: detached, no longer asked for", pinned.name);
            }
        }
    }
    Ok(())
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
