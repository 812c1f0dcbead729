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

use super::{nic, pins, rollback::Rollback};
use crate::config::Interface;

/// What a program is for, and with that where it goes. An interface has one of the two at ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// At ingress: follows.
    Ingress,
    /// At ingress: filters, then follows.
    Guard,
    /// At egress.
    Egress,
}

impl Role {
    const ALL: [Self; 3] = [Self::Ingress, Self::Guard, Self::Egress];

    const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Guard => "guard",
            Self::Egress => "egress",
        }
    }

    const fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress | Self::Guard => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }

    /// Whose place the program takes, if it is there.
    fn predecessors(self) -> impl Iterator<Item = Self> {
        let same = move |other: &Self| other.attach_type() == self.attach_type();
        Self::ALL.into_iter().filter(same)
    }

    /// Where its link is pinned, where the kernel has tcx.
    fn pin(self, links: &Path) -> PathBuf {
        links.join(format!("tcx-{}", self.name()))
    }
}

/// Attaches `program` to the interface whose links are pinned in `links`, or takes over the link
/// that an earlier agent pinned there, also of the other program for that place: there is no moment
/// without one.
///
/// # Errors
///
/// What the kernel says, with the interface.
pub(super) fn attach(
    program: &mut SchedClassifier,
    role: Role,
    interface: &Interface,
    links: &Path,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let pin = role.pin(links);
    for predecessor in role.predecessors() {
        let found = predecessor.pin(links);
        if take_over(program, &found) {
            return rename(&found, &pin);
        }
    }
    if take_over_netlink(program, role, interface, links)? {
        return Ok(());
    }
    let attached = match attach_tcx(program, role, interface, &pin) {
        Err(error) if lacks_tcx(&error) => attach_netlink(program, role, interface, links),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(pin),
    };
    let pin = attached
        .with_context(|| format!("cannot attach to the {} of {}", role.name(), interface.name))?;
    rollback.made(&pin);
    Ok(())
}

/// Whether a program that filters is attached here.
pub(super) fn filters(links: &Path) -> anyhow::Result<bool> {
    let pins = pins::list(links)?;
    let mut names = pins.iter().filter_map(|pin| pin.file_name()?.to_str());
    Ok(names.any(|name| pins::filter_of(name) == Some(pins::AttachedMode::Tc)))
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from == to {
        return Ok(());
    }
    fs::rename(from, to).with_context(|| format!("cannot rename {}", from.display()))
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
    role: Role,
    interface: &Interface,
    pin: &Path,
) -> Result<(), ProgramError> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program.attach_with_options(&interface.name, role.attach_type(), order)?;
    let link = FdLink::try_from(program.take_link(id)?)
        .map_err(|error| ProgramError::IOError(io::Error::other(error)))?;
    link.pin(pin)
        .map_err(|error| ProgramError::IOError(io::Error::other(error)))?;
    Ok(())
}

/// Kernels before 6.6 do not know the attach type of tcx.
pub(super) fn lacks_tcx(error: &ProgramError) -> bool {
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
    role: Role,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<PathBuf> {
    match tc::qdisc_add_clsact(&interface.name) {
        // Another program's, or an earlier run's: it is not ours to remove either.
        Err(TcError::AlreadyAttached) | Ok(()) => {}
        Err(error) => tracing::debug!("clsact on {}: {error}", interface.name),
    }
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let id = program.attach_with_options(&interface.name, role.attach_type(), options)?;
    let link = program.take_link(id)?;
    let filter = Filter {
        role,
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
    role: Role,
    interface: &Interface,
    links: &Path,
) -> anyhow::Result<bool> {
    for pin in pins::list(links)? {
        let Some(filter) = Filter::from_pin(&pin) else {
            continue;
        };
        if filter.role.attach_type() == role.attach_type() {
            let id = program.attach_to_link(filter.link(&interface.name)?)?;
            let link = program.take_link(id)?;
            fs::remove_file(&pin)?;
            program.pin(links.join(Filter { role, ..filter }.pin_name()))?;
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
    if let Some(name) = nic::name_of(index) {
        drop(filter.link(&name)?);
    }
    Ok(true)
}

/// A filter of the clsact qdisc, as the name of its pin has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filter {
    role: Role,
    priority: u16,
    handle: u32,
}

impl Filter {
    fn pin_name(self) -> String {
        format!("tc-{}-{}-{}", self.role.name(), self.priority, self.handle)
    }

    fn from_pin(path: &Path) -> Option<Self> {
        let mut parts = path.file_name()?.to_str()?.strip_prefix("tc-")?.split('-');
        let name = parts.next()?;
        let role = Role::ALL.into_iter().find(|role| role.name() == name)?;
        let priority = parts.next()?.parse().ok()?;
        let handle = parts.next()?.parse().ok()?;
        Some(Self {
            role,
            priority,
            handle,
        })
    }

    /// aya's link for the filter: dropping it removes the filter.
    fn link(self, interface: &str) -> io::Result<SchedClassifierLink> {
        let handle = TcHandle::from(self.handle);
        let attach_type = self.role.attach_type();
        SchedClassifierLink::attached(interface, attach_type, self.priority, handle, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pin_tells_its_filter() {
        let filter = Filter {
            role: Role::Egress,
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
