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
    /// When it was armed, ns of `CLOCK_MONOTONIC`.
    pub armed_at: u64,
    /// `ARMED`: admits nothing from this moment on. `CLAIMED`: when it was claimed. Same clock.
    pub until: u64,
    /// [`Mode`] as a byte.
    pub mode: u8,
    /// 1: the daemon is behind this host, in a container: no socket of ours will tell that the
    /// connection is established.
    pub forwarded: u8,
    /// `ARMED`: SYNs that it let through, about.
    pub admitted: u16,
    /// Always 0.
    pub reserved: u32,
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
    /// 1 when it was met in the middle, else 0.
    pub adopted: u32,
    /// The daemon that it is entitled to the listeners of, while it is opaque: the number of a control
    /// port.
    pub daemon: u32,
    /// What both directions need.
    pub shared: Shared,
    /// The stream of commands.
    pub client: ClientSide,
    /// The stream of replies.
    pub server: ServerSide,
}
