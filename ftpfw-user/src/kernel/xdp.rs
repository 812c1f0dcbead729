//! The filter's link: which mode, and who else is there.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use aya::programs::{
    XdpMode,
    links::{FdLink, PinnedLink},
    loaded_programs,
    xdp::XdpLink,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

use super::{
    Kernel, PinDir, detach, nic,
    pins::{AttachedMode, xdp_link},
    rollback::Rollback,
};
use crate::config::{FilterChoice, Interface};

const MODES: [AttachedMode; 2] = [AttachedMode::Native, AttachedMode::Generic];

/// Attaches the filter, or takes over the link that an earlier agent pinned in `links`.
///
/// # Errors
///
/// What the driver or the kernel says, with the interface and the mode.
pub(super) fn attach(
    kernel: &mut Kernel,
    interface: &Interface,
    links: &Path,
    rollback: &mut Rollback,
) -> anyhow::Result<AttachedMode> {
    if let Some(mode) = adopt(kernel, interface, links)? {
        return Ok(mode);
    }
    let mode = match interface.mode {
        FilterChoice::Native => attach_as(kernel, AttachedMode::Native, interface, links)?,
        FilterChoice::Generic => attach_as(kernel, AttachedMode::Generic, interface, links)?,
        FilterChoice::Auto | FilterChoice::Tc => {
            match attach_as(kernel, AttachedMode::Native, interface, links) {
                Ok(mode) => mode,
                Err(error) => {
                    tracing::warn!("{error:#}; trying generic mode, which is slower");
                    attach_as(kernel, AttachedMode::Generic, interface, links)?
                }
            }
        }
    };
    rollback.made(&links.join(xdp_link(mode)));
    Ok(mode)
}

fn attach_as(
    kernel: &mut Kernel,
    mode: AttachedMode,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<AttachedMode> {
    let flags = match mode {
        AttachedMode::Native => XdpMode::Driver,
        AttachedMode::Generic | AttachedMode::Tc => XdpMode::Skb,
    };
    let program = kernel.ingress(mode)?;
    let attached = program
        .attach_to_if_index(interface.index, flags)
        .map_err(anyhow::Error::from);
    attached
        .and_then(|id| {
            let link = FdLink::try_from(program.take_link(id)?)
                .context("this kernel has no links for XDP (5.9 has)")?;
            Ok(link.pin(links.join(xdp_link(mode)))?)
        })
        .with_context(|| {
            format!(
                "cannot attach to {} in {} mode",
                interface.name,
                mode.name()
            )
        })?;
    Ok(mode)
}

/// Whether an earlier agent's filter runs in a mode that is to be given up.
pub(super) fn changes_mode(interface: &Interface, links: &Path) -> bool {
    let mut others = MODES
        .into_iter()
        .filter(|mode| !accepts(interface.mode, *mode));
    others.any(|mode| links.join(xdp_link(mode)).exists())
}

/// Puts `program` in the place of the one behind a pinned link, atomically: there is no moment
/// without a filter. `None`: there is no link that can be taken over. One in a mode that is to be given up
/// is removed.
fn adopt(
    kernel: &mut Kernel,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<Option<AttachedMode>> {
    for mode in MODES {
        let pin = links.join(xdp_link(mode));
        let Ok(link) = PinnedLink::from_pin(&pin) else {
            continue;
        };
        if !accepts(interface.mode, mode) {
            detach::remove_link(&pin)?;
            continue;
        }
        let program = kernel.ingress(mode)?;
        let taken = XdpLink::try_from(FdLink::from(link))
            .map_err(anyhow::Error::from)
            .and_then(|link| Ok(program.attach_to_link(link)?))
            // The pin holds the link; held by this process too, it would outlive its removal.
            .and_then(|id| Ok(program.take_link(id)?));
        match taken {
            Ok(_closed) => return Ok(Some(mode)),
            // The interface was deleted, and its index is that of another one now.
            Err(error) => {
                tracing::debug!("{} is of no use any more: {error:#}", pin.display());
                fs::remove_file(&pin)?;
            }
        }
    }
    Ok(None)
}

/// Removes the filter: another one is in place.
pub(super) fn remove(links: &Path) -> anyhow::Result<()> {
    MODES
        .into_iter()
        .try_for_each(|mode| detach::remove_link(&links.join(xdp_link(mode))))
}

const fn accepts(choice: FilterChoice, mode: AttachedMode) -> bool {
    match choice {
        FilterChoice::Auto => true,
        FilterChoice::Native => matches!(mode, AttachedMode::Native),
        FilterChoice::Generic => matches!(mode, AttachedMode::Generic),
        FilterChoice::Tc => false,
    }
}

/// Refuses an interface that carries an XDP program other than those behind our own links.
///
/// # Errors
///
/// A sentence with the program's id and name.
pub(super) async fn refuse_foreign(interface: &Interface, pins: &PinDir) -> anyhow::Result<()> {
    let Some(id) = foreign(interface, pins).await? else {
        return Ok(());
    };
    // Only CAP_SYS_ADMIN may know, which the agent has given up once it runs.
    let name = program_name(id).map_or_else(String::new, |name| format!(", name {name}"));
    let interface = &interface.name;
    bail!(
        "another XDP program (id {id}{name}) is attached to {interface}: \
         remove it first (`ip link set dev {interface} xdp off`, or what attached it)"
    )
}

/// Id of the XDP program on an interface, unless it is behind one of our own links.
pub(super) async fn foreign(interface: &Interface, pins: &PinDir) -> anyhow::Result<Option<u32>> {
    let Some(id) = attached_program(interface.index).await? else {
        return Ok(None);
    };
    let own = pins.interfaces()?.into_iter().any(|pinned| {
        MODES
            .into_iter()
            .any(|mode| pinned_program(&pinned.links.join(xdp_link(mode))) == Some(id))
    });
    Ok((!own).then_some(id))
}

/// Id of the XDP program on an interface, whoever attached it and however.
async fn attached_program(index: u32) -> anyhow::Result<Option<u32>> {
    let ids = nic::attributes(index)
        .await?
        .into_iter()
        .filter_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => xdp.into_iter().find_map(|nla| match nla {
                LinkXdp::ProgId(id)
                | LinkXdp::DrvProgId(id)
                | LinkXdp::SkbProgId(id)
                | LinkXdp::HwProgId(id) => Some(id),
                _ => None,
            }),
            _ => None,
        });
    Ok(ids.into_iter().next().filter(|id| *id != 0))
}

/// Id of the program behind a pinned link; `None` for any other pin.
pub(super) fn pinned_program(pin: &Path) -> Option<u32> {
    let link = FdLink::from(PinnedLink::from_pin(pin).ok()?);
    Some(link.info().ok()?.program_id())
}

/// The name of a program, for who may know it.
pub(super) fn program_name(id: u32) -> Option<String> {
    let program = loaded_programs()
        .flatten()
        .find(|program| program.id() == id)?;
    program.name_as_str().map(str::to_owned)
}
