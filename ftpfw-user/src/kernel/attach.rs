//! Attaching everything, in an order that never filters what is not followed.

use std::fs;

use anyhow::Context as _;
use ftpfw_common::abi::policy::Settings;

use super::{
    Kernel, PinDir, detach,
    pins::AttachedMode,
    tc::{self, Direction},
    tracepoint, xdp,
};
use crate::config::{Interface, XdpChoice};

pub use super::rollback::Rollback;

/// An interface with a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Which.
    pub interface: Interface,
    /// Where its filter runs.
    pub mode: AttachedMode,
}

/// Refuses interfaces that carry another XDP program, before anything is changed.
///
/// # Errors
///
/// A sentence that names the interface and the program.
pub async fn refuse_foreign(pins: &PinDir, interfaces: &[Interface]) -> anyhow::Result<()> {
    for interface in interfaces {
        xdp::refuse_foreign(interface, pins).await?;
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
    choice: XdpChoice,
    settings: Settings,
    rollback: &mut Rollback,
) -> anyhow::Result<Vec<Attached>> {
    detach_others(pins, interfaces)?;
    make_directories(pins, interfaces)?;
    attach_tracepoint(kernel, pins, settings, rollback)?;
    for interface in interfaces {
        let links = links(pins, interface);
        tc::attach(
            kernel.replies()?,
            Direction::Egress,
            interface,
            &links,
            rollback,
        )?;
        tc::attach(
            kernel.commands()?,
            Direction::Ingress,
            interface,
            &links,
            rollback,
        )?;
    }
    let mut attached = Vec::with_capacity(interfaces.len());
    for interface in interfaces {
        let links = links(pins, interface);
        let mode = xdp::attach(kernel.ingress()?, choice, interface, &links, rollback)?;
        attached.push(Attached {
            interface: interface.clone(),
            mode,
        });
    }
    Ok(attached)
}

fn links(pins: &PinDir, interface: &Interface) -> std::path::PathBuf {
    pins.interface(interface.index, &interface.name)
}

/// An earlier agent protected interfaces that this one was not asked to protect, or that are gone;
/// one that was renamed since is still the same.
fn detach_others(pins: &PinDir, interfaces: &[Interface]) -> anyhow::Result<()> {
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
                detach::interface(&pinned)?;
                tracing::info!("{}: detached, no longer asked for", pinned.name);
            }
        }
    }
    Ok(())
}

fn make_directories(pins: &PinDir, interfaces: &[Interface]) -> anyhow::Result<()> {
    for interface in interfaces {
        let directory = links(pins, interface);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    Ok(())
}

/// Without the tracepoint the first SYN claims a tuple: a spoofed one can then burn it, but
/// transfers work.
fn attach_tracepoint(
    kernel: &mut Kernel,
    pins: &PinDir,
    settings: Settings,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let attached = tracepoint::attach(kernel.sockets()?, pins, rollback);
    if let Err(error) = &attached {
        tracing::warn!("{error:#}; tuples are claimed by the first SYN instead");
    }
    let claim_on_syn = u32::from(attached.is_err());
    kernel.set_settings(Settings {
        claim_on_syn,
        ..settings
    })
}
