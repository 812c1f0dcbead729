//! Commands that wait for their reply (RFC 959 §5.4: every command has one, in order).

#[cfg(not(target_arch = "bpf"))]
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::{command::Kind, word::Word};

/// Outstanding commands that are remembered. Whoever pipelines more loses the oldest: its reply
/// is counted, and arms nothing.
pub(super) const CAPACITY: u32 = 16;

/// A command that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outstanding {
    pub kind: Kind,
    /// An active tuple was armed when the command came.
    pub armed: bool,
    /// The client's port, for PORT, EPRT and LPRT; 0 if the argument was no good.
    pub port: u16,
}

/// Commands that only they can have the reply of; see [`Fifo::latest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Login,
    Passive,
    Auth,
    Quit,
}

impl Class {
    const COUNT: usize = 4;

    #[inline(always)]
    const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Login => Some(Self::Login),
            Kind::Pasv | Kind::Epsv | Kind::Lpsv | Kind::Spsv => Some(Self::Passive),
            Kind::Auth => Some(Self::Auth),
            Kind::Quit => Some(Self::Quit),
            _ => None,
        }
    }
}

/// A ring with one producer (TC ingress) and one consumer (TC egress).
///
/// The producer never waits and never fails: it overwrites. An entry carries its own number, so
/// the consumer sees that one is gone. A command passes ingress before the daemon can answer it,
/// so an entry is whole before its reply looks for it: no order beyond that is needed.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
pub struct Fifo {
    /// Number << 32 | port << 16 | armed << 8 | kind.
    slots: [Word; CAPACITY as usize],
    /// Number of the next command.
    head: Word,
    /// Number of the latest command of each [`Class`], plus 1; 0 for none.
    latest: [Word; Class::COUNT],
}

impl Fifo {
    #[inline(always)]
    fn slot(&self, number: u32) -> &Word {
        &self.slots[(number % CAPACITY) as usize]
    }

    /// Number of the next command.
    #[inline(always)]
    pub(super) fn head(&self) -> u32 {
        self.head.load() as u32
    }

    /// Adds a command. Producer only.
    #[inline(always)]
    pub(super) fn push(&self, entry: Outstanding) {
        let number = self.head();
        let packed = u64::from(number) << 32
            | u64::from(entry.port) << 16
            | u64::from(entry.armed) << 8
            | entry.kind as u64;
        self.slot(number).store(packed);
        if let Some(class) = Class::of(entry.kind) {
            self.latest[class as usize].store(u64::from(number) + 1);
        }
        self.head.store(u64::from(number.wrapping_add(1)));
    }

    /// The command with this number; `None` when it was overwritten.
    #[inline(always)]
    pub(super) fn get(&self, number: u32) -> Option<Outstanding> {
        let packed = self.slot(number).load();
        if (packed >> 32) as u32 != number {
            return None;
        }
        Some(Outstanding {
            kind: Kind::from_u8(packed as u8),
            armed: packed >> 8 & 1 != 0,
            port: (packed >> 16) as u16,
        })
    }

    /// Whether a command of a class ever came.
    #[inline(always)]
    pub(super) fn had(&self, class: Class) -> bool {
        self.latest[class as usize].load() != 0
    }

    /// Number of the latest command of a class, if it is not before `tail`.
    ///
    /// The latest, not the oldest: where the pairing is unknown, older ones may have been answered.
    #[inline(always)]
    pub(super) fn latest(&self, class: Class, tail: u32) -> Option<u32> {
        let number = match self.latest[class as usize].load() {
            0 => return None,
            next => (next as u32).wrapping_sub(1),
        };
        if number.wrapping_sub(tail).cast_signed() >= 0 {
            Some(number)
        } else {
            None
        }
    }
}
