//! Commands that wait for their reply (RFC 959 §5.4: every command has one, in order).

#[cfg(not(target_arch = "bpf"))]
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::{
    command::Kind,
    word::{Half, Word},
};
use crate::stream::Sequence;

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
    /// Sequence number behind its line.
    pub end: Sequence,
}

impl Outstanding {
    const ARMED: u64 = 1 << 5;
    const TAG: u32 = 6;
    const PORT: u32 = 16;
    const END: u32 = 32;
    /// Bits of the number that an entry carries. Those of two commands that shared a slot one after
    /// the other differ.
    const TAGS: u32 = (1 << (Self::PORT - Self::TAG)) - 1;

    #[inline(always)]
    const fn pack(self, number: u32) -> u64 {
        const { assert!((Kind::Unknown as u64) < Self::ARMED && CAPACITY < Self::TAGS) }
        let armed = if self.armed { Self::ARMED } else { 0 };
        self.kind as u64
            | armed
            | ((number & Self::TAGS) as u64) << Self::TAG
            | (self.port as u64) << Self::PORT
            | (self.end.0 as u64) << Self::END
    }

    #[inline(always)]
    const fn unpack(packed: u64, number: u32) -> Option<Self> {
        if (packed >> Self::TAG) as u32 & Self::TAGS != number & Self::TAGS {
            return None;
        }
        Some(Self {
            kind: Kind::from_u8((packed & (Self::ARMED - 1)) as u8),
            armed: packed & Self::ARMED != 0,
            port: (packed >> Self::PORT) as u16,
            end: Sequence((packed >> Self::END) as u32),
        })
    }
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
/// The producer never waits and never fails: it overwrites. An entry carries the end of its own
/// number, so the consumer sees that one is gone. A command passes ingress before the daemon can
/// answer it, so an entry is whole before its reply looks for it: no order beyond that is needed.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
pub struct Fifo {
    /// See [`Outstanding::pack`].
    slots: [Word; CAPACITY as usize],
    /// Number of the next command.
    head: Half,
    /// Number of the latest command of each [`Class`], plus 1; 0 for none.
    latest: [Half; Class::COUNT],
    /// Number of EPSV ALL seen.
    pub(super) epsv_all: Half,
}

impl Fifo {
    #[inline(always)]
    fn slot(&self, number: u32) -> &Word {
        &self.slots[(number % CAPACITY) as usize]
    }

    /// Number of the next command.
    #[inline(always)]
    pub(super) fn head(&self) -> u32 {
        self.head.load()
    }

    /// Adds a command. Producer only.
    #[inline(always)]
    pub(super) fn push(&self, entry: Outstanding) {
        let number = self.head();
        self.slot(number).store(entry.pack(number));
        if let Some(class) = Class::of(entry.kind) {
            self.latest[class as usize].store(number.wrapping_add(1));
        }
        self.head.store(number.wrapping_add(1));
    }

    /// The command with this number; `None` when it was overwritten.
    #[inline(always)]
    pub(super) fn get(&self, number: u32) -> Option<Outstanding> {
        let packed = self.slot(number).load();
        // What lies further back is gone, whatever its slot's number ends with.
        if self.head().wrapping_sub(number) > CAPACITY {
            return None;
        }
        Outstanding::unpack(packed, number)
    }

    /// The stream of commands begins at `next`: the end of a line, as it were. Producer only.
    #[inline(always)]
    pub(super) fn begin(&self, next: Sequence) {
        let number = self.head().wrapping_sub(1);
        let beginning = Outstanding {
            kind: Kind::Other,
            armed: false,
            port: 0,
            end: next,
        };
        self.slot(number).store(beginning.pack(number));
    }

    /// The latest command. Producer only.
    #[inline(always)]
    pub(super) fn last(&self) -> Option<Outstanding> {
        self.get(self.head().wrapping_sub(1))
    }

    /// Takes the latest command back: the server never heard it. Producer only.
    #[inline(always)]
    pub(super) fn take_back(&self, command: Outstanding) {
        let number = self.head().wrapping_sub(1);
        if let Some(class) = Class::of(command.kind) {
            // One that came before it is forgotten too: its reply is then nobody's, at worst.
            self.latest[class as usize].store(0);
        }
        self.head.store(number);
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
            next => next.wrapping_sub(1),
        };
        if number.wrapping_sub(tail).cast_signed() >= 0 {
            Some(number)
        } else {
            None
        }
    }
}
