//! The follower's links: tcx where the kernel has it (6.6), else filters of the clsact qdisc.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::{
    programs::{
        ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, LinkOrder, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
    },
    sys::SyscallError,
};

use super::{pins, rollback::Rollback};
use crate::config::Interface;

/// Which way the packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }
}

/// Attaches `program` to the interface whose links are pinned in `links`, or takes over the link
/// that an earlier agent pinned there.
///
/// # Errors
///
/// What the kernel says, with the interface.
pub(super) fn attach(
    program: &mut SchedClassifier,
    direction: Direction,
    interface: &Interface,
    links: &Path,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let pin = links.join(format!("tcx-{}", direction.name()));
    if take_over(program, &pin) || take_over_netlink(program, direction, interface, links)? {
        return Ok(());
    }
    let attached = match attach_tcx(program, direction, interface, &pin) {
        Err(error) if lacks_tcx(&error) => attach_netlink(program, direction, interface, links),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(pin),
    };
    let pin = attached.with_context(|| {
        format!(
            "cannot attach to the {} of {}",
            direction.name(),
            interface.name
        )
    })?;
    rollback.made(&pin);
    Ok(())
}

/// Puts `program` in the place of the one behind a pinned link, atomically. `false`: there is no
/// link, or it has lost its interface.
fn take_over(program: &mut SchedClassifier, pin: &Path) -> bool {
    let Ok(link) = PinnedLink::from_pin(pin) else {
        return false;
    };
    let taken = SchedClassifierLink::try_from(FdLink::from(link))
        .map_err(anyhow::Error::from)
        .and_then(|link| Ok(program.attach_to_link(link)?))
        // The pin holds the link; held by this process too, it would outlive its removal.
        .and_then(|id| Ok(program.take_link(id)?));
    match taken {
        Ok(_closed) => true,
        Err(error) => {
            tracing::debug!("{} is of no use any more: {error:#}", pin.display());
            let _already_gone = fs::remove_file(pin);
            false
        }
    }
}

fn attach_tcx(
    program: &mut SchedClassifier,
    direction: Direction,
    interface: &Interface,
    pin: &Path,
) -> Result<(), ProgramError> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program.attach_with_options(&interface.name, direction.attach_type(), order)?;
    let link = FdLink::try_from(program.take_link(id)?)
        .map_err(|error| ProgramError::IOError(io::Error::other(error)))?;
    link.pin(pin)
        .map_err(|error| ProgramError::IOError(io::Error::other(error)))?;
    Ok(())
}

/// Kernels before 6.6 do not know the attach type of tcx.
fn lacks_tcx(error: &ProgramError) -> bool {
    matches!(
        error,
        ProgramError::SyscallError(SyscallError { io_error, .. })
            if io_error.raw_os_error() == Some(nix::libc::EINVAL)
    )
}

/// A filter of the clsact qdisc is no link and cannot be pinned: it stays until it is removed. The
/// program is pinned instead, under a name that says where the filter is.
fn attach_netlink(
    program: &mut SchedClassifier,
    direction: Direction,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<PathBuf> {
    match tc::qdisc_add_clsact(&interface.name) {
        // Another program's, or an earlier run's: it is not ours to remove either.
        Err(TcError::AlreadyAttached) | Ok(()) => {}
        Err(error) => tracing::debug!("clsact on {}: {error}", interface.name),
    }
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = program.attach_with_options(&interface.name, direction.attach_type(), options)?;
    let link = program.take_link(id)?;
    let filter = Filter {
        direction,
        priority: link.priority()?,
        handle: link.handle()?.into(),
    };
    let pin = links.join(filter.pin_name());
    program.pin(&pin)?; // `link` goes out of scope, and the filter with it, if this fails
    std::mem::forget(link);
    Ok(pin)
}

/// Puts `program` in the place of the one in a filter of an earlier agent.
fn take_over_netlink(
    program: &mut SchedClassifier,
    direction: Direction,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<bool> {
    for pin in pins::list(links)? {
        let Some(filter) = Filter::from_pin(&pin) else {
            continue;
        };
        if filter.direction == direction {
            let id = program.attach_to_link(filter.link(&interface.name)?)?;
            let link = program.take_link(id)?;
            fs::remove_file(&pin)?;
            program.pin(&pin)?;
            std::mem::forget(link);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the filter that the pin at `path` stands for; `false` for any other pin.
pub(super) fn detach_netlink(path: &Path) -> anyhow::Result<bool> {
    let Some(filter) = Filter::from_pin(path) else {
        return Ok(false);
    };
    let index = path
        .parent()
        .and_then(|links| links.file_name()?.to_str()?.split_once('-')?.0.parse().ok())
        .context("a pin outside of an interface's directory")?;
    // Without its interface the filter is gone too.
    if let Ok(name) = nix::net::if_::if_indextoname(index) {
        drop(filter.link(&name.to_string_lossy())?);
    }
    Ok(true)
}

/// A filter of the clsact qdisc, as the name of its pin has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filter {
    direction: Direction,
    priority: u16,
    handle: u32,
}

impl Filter {
    fn pin_name(self) -> String {
        format!(
            "tc-{}-{}-{}",
            self.direction.name(),
            self.priority,
            self.handle
        )
    }

    fn from_pin(path: &Path) -> Option<Self> {
        let mut parts = path.file_name()?.to_str()?.strip_prefix("tc-")?.split('-');
        let direction = match parts.next()? {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => return None,
        };
        let priority = parts.next()?.parse().ok()?;
        let handle = parts.next()?.parse().ok()?;
        Some(Self {
            direction,
            priority,
            handle,
        })
    }

    /// aya's link for the filter: dropping it removes the filter.
    fn link(self, interface: &str) -> io::Result<SchedClassifierLink> {
        let handle = TcHandle::from(self.handle);
        let attach_type = self.direction.attach_type();
        SchedClassifierLink::attached(interface, attach_type, self.priority, handle, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pin_tells_its_filter() {
        let filter = Filter {
            direction: Direction::Egress,
            priority: 49152,
            handle: 1,
        };
        assert_eq!(
            Filter::from_pin(Path::new(&filter.pin_name())),
            Some(filter)
        );
        for other in ["tcx-egress", "tc-sideways-1-1", "tc-egress-1", "xdp-native"] {
            assert_eq!(Filter::from_pin(Path::new(other)), None, "{other}");
        }
    }
}
