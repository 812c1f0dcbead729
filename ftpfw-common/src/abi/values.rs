//! Map values.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::policy::port;
use crate::{
    address::Address,
    control::{ClientSide, ServerSide, Shared},
};

/// How a tuple came to be. Stable numbers: stored in maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// PASV, EPSV, LPSV, SPSV.
    Passive = 1,
    /// PORT, EPRT, LPRT.
    Active = 2,
    /// A listener of the FTP daemon, for a client with an opaque session (DESIGN §7).
    Opaque = 3,
    /// `ftpfw allow`.
    Manual = 4,
}

impl Mode {
    /// The mode stored as `byte`, if it is one.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Passive),
            2 => Some(Self::Active),
            3 => Some(Self::Opaque),
            4 => Some(Self::Manual),
            _ => None,
        }
    }

    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
            Self::Opaque => "opaque",
            Self::Manual => "manual",
        }
    }
}

/// A data connection that is allowed (map `ARMED`) or established (map `CLAIMED`).
///
/// Which of the two maps holds it *is* its state; `CLAIMED` fills `client_port` *and*
/// `server_port` of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tuple {
    /// The session that negotiated it; 0 for none (`ftpfw allow`).
    pub session: u64,
    /// `ARMED`: admits nothing from this moment on. `CLAIMED`: when it was claimed. ns of
    /// `CLOCK_MONOTONIC`.
    pub until: u64,
    /// How long before [`Self::until`] it was armed, ms.
    pub armed_before: u32,
    /// [`Mode`] as a byte.
    pub mode: u8,
    /// 1: the daemon is behind this host, in a container: no socket of ours will tell that the
    /// connection is established.
    pub forwarded: u8,
    /// `ARMED`: SYNs that it let through, about.
    pub admitted: u16,
}

impl Tuple {
    /// One that was armed at `armed_at`, for a daemon of this host; times as in the fields.
    #[inline(always)]
    #[must_use]
    pub const fn new(session: u64, mode: Mode, armed_at: u64, until: u64) -> Self {
        Self {
            session,
            until,
            armed_before: ms_between(armed_at, until),
            mode: mode as u8,
            forwarded: 0,
            admitted: 0,
        }
    }

    /// When it was armed, ns of `CLOCK_MONOTONIC`, to the millisecond.
    #[inline(always)]
    #[must_use]
    pub const fn armed_at(&self) -> u64 {
        self.until.saturating_sub(self.armed_before as u64 * MS)
    }

    /// The tuple is claimed, at `now`.
    #[inline(always)]
    pub const fn claim(&mut self, now: u64) {
        self.armed_before = ms_between(self.armed_at(), now);
        self.until = now;
    }
}

/// ns.
const MS: u64 = 1_000_000;

/// ms between two moments, ns; at most 49 days.
#[inline(always)]
const fn ms_between(from: u64, until: u64) -> u32 {
    let ms = until.saturating_sub(from) / MS;
    if ms > u32::MAX as u64 {
        u32::MAX
    } else {
        ms as u32
    }
}

/// What the filter knows of one local port: policy and armed count in one word. One lookup answers
/// whether the port is protected and whether a SYN to it may be worth a second look (DESIGN §4,
/// steps 4 and 5).
///
/// One word, because BPF's atomics are 64 bits wide: both sides change `armed` by adding to it,
/// user space exchanges `policy` through a mapping of the array, and neither loses the other's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct PortEntry(pub u64);

impl PortEntry {
    /// What to add to the word for one more armed tuple.
    pub const ONE_ARMED: u64 = 1;
    /// What to add to the word for one more listener of an FTP daemon's.
    pub const ONE_LISTENER: u64 = 1 << 24;
    /// So many listeners have one port at most, each on an address of its own: far from where their count
    /// would run into the policy, even if all CPUs add one more at this moment.
    pub const MAX_LISTENERS: u32 = 64;

    /// An entry of `armed` tuples (and listeners, in its upper 8 bits) and `policy` bits.
    #[inline(always)]
    #[must_use]
    pub const fn new(armed: u32, policy: u32) -> Self {
        Self((policy as u64) << 32 | armed as u64)
    }

    /// Number of passive tuples in `ARMED` for this port, over all clients.
    #[inline(always)]
    #[must_use]
    pub const fn armed(self) -> u32 {
        (self.0 & (Self::ONE_LISTENER - 1)) as u32
    }

    /// Number of listeners in `LISTENERS` for this port, over all addresses.
    #[inline(always)]
    #[must_use]
    pub const fn listeners(self) -> u32 {
        self.0 as u32 / Self::ONE_LISTENER as u32
    }

    /// Whether neither a tuple nor a listener can let anybody in.
    #[inline(always)]
    #[must_use]
    pub const fn is_idle(self) -> bool {
        self.0 as u32 == 0
    }

    /// Whether every SYN to the port is dropped, whoever sends it.
    #[inline(always)]
    #[must_use]
    pub const fn refuses_every_syn(self) -> bool {
        self.is_idle()
            && port::closes_tcp(self.policy())
            && self.policy() & port::PASSIVE_RANGE == 0
    }

    /// Bits of [`super::policy::port`].
    #[inline(always)]
    #[must_use]
    pub const fn policy(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The same entry with another policy.
    #[inline(always)]
    #[must_use]
    pub const fn with_policy(self, policy: u32) -> Self {
        Self::new(self.0 as u32, policy)
    }
}

/// A listener that an FTP daemon opened on a protected port (DESIGN §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listener {
    /// When it was opened, ns of `CLOCK_MONOTONIC`.
    pub opened_at: u64,
    /// The session that it was opened for; 0 while that is not known.
    pub session: u64,
    /// The client that it was opened for; [`Address::UNSPECIFIED`] while that is not known.
    pub client: Address,
    /// The daemon: the number of a control port.
    pub daemon: u32,
    /// SYNs that it let through, about.
    pub admitted: u32,
}

impl Listener {
    /// Whether a client may connect. `entitled`: the opaque sessions that it has on this daemon; a
    /// listener that is older than the first of them is not for it.
    #[inline(always)]
    #[must_use]
    pub fn is_for(&self, client: &Address, entitled: Option<&Entitled>) -> bool {
        let narrowed = self.client != Address::UNSPECIFIED && self.client != *client;
        !narrowed && entitled.is_some_and(|it| it.sessions > 0 && it.since <= self.opened_at)
    }
}

/// The opaque sessions of one client on one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entitled {
    /// How many live. At zero the entry stays for a while, and counts for nothing.
    pub sessions: u64,
    /// When the first of them was born, ns of `CLOCK_MONOTONIC`.
    pub since: u64,
}

/// A flow without a local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// Packets of the flow pass until then, ns of `CLOCK_MONOTONIC`.
    pub until: u64,
    /// One of the constants below.
    pub state: u32,
    /// During a handshake: what the client acknowledges once it has the SYN-ACK; 0 before that left.
    pub expected: u32,
}

impl Flow {
    /// It went out, or its handshake is complete.
    pub const LIVE: u32 = 0;
    /// A SYN was let through by a tuple, and the client has not gone on yet.
    pub const HANDSHAKE: u32 = 1;
    /// The end behind this host has sent its FIN, or a RST.
    pub const CLOSING: u32 = 2;
}

/// One control connection.
///
/// `client` is written by TC ingress only, `server` by TC egress only: the two run on different
/// CPUs at the same time, and meet only in `shared`, which is atomic throughout (DESIGN §5).
#[derive(Debug)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
pub struct Session {
    /// Number of this session, from 1, never reused while the maps live.
    pub id: u64,
    /// ns of `CLOCK_MONOTONIC`.
    pub born_at: u64,
    /// What both directions need.
    pub shared: Shared,
    /// The stream of commands.
    pub client: ClientSide,
    /// The stream of replies.
    pub server: ServerSide,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::keys::{SessionKey, TupleKey};

    /// What an entry of a hash map costs: `struct htab_elem` (48 bytes), key and value in words, and the
    /// head of its bucket (`kernel/bpf/hashtab.c`).
    const fn entry(key: usize, value: usize) -> usize {
        48 + key.next_multiple_of(8) + value.next_multiple_of(8) + 16
    }

    #[test]
    fn entries_are_small() {
        assert!(entry(size_of::<TupleKey>(), size_of::<Tuple>()) <= 128);
        assert!(entry(size_of::<SessionKey>(), size_of::<Session>()) <= 512);
    }

    #[test]
    fn a_tuple_remembers_when_it_was_armed() {
        let mut tuple = Tuple::new(7, Mode::Passive, 5_000 * MS, 35_000 * MS);
        assert_eq!((tuple.until, tuple.armed_at()), (35_000 * MS, 5_000 * MS));
        tuple.claim(6_500 * MS + 1);
        assert_eq!(
            (tuple.until, tuple.armed_at()),
            (6_500 * MS + 1, 5_000 * MS + 1)
        );
        let old = Tuple::new(0, Mode::Opaque, 0, u64::MAX);
        assert_eq!(old.armed_before, u32::MAX);
    }
}
