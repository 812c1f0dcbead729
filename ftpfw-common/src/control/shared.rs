//! What both directions of a session need of each other.

#[cfg(not(target_arch = "bpf"))]
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::{fifo::Fifo, word::Half};

/// Bits of [`Shared::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u32);

impl State {
    /// The server has greeted (RFC 959 §5.4: 220).
    pub const GREETED: u32 = 1;
    /// 230 or 232 came, or the session was met in the middle.
    pub const LOGGED_IN: u32 = 1 << 1;
    /// The bytes are TLS.
    pub const OPAQUE: u32 = 1 << 2;
    /// The control connection ends: nothing is armed any more.
    pub const ENDED: u32 = 1 << 3;
    /// It was met in the middle.
    pub const ADOPTED: u32 = 1 << 4;

    /// Whether all bits of `mask` are set.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, mask: u32) -> bool {
        self.0 & mask == mask
    }

    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.has(Self::ENDED) {
            "ended"
        } else if self.has(Self::OPAQUE) {
            "opaque"
        } else if self.has(Self::LOGGED_IN) {
            "logged-in"
        } else if self.has(Self::GREETED) {
            "greeted"
        } else {
            "connected"
        }
    }
}

/// The part of a session that TC ingress and TC egress both touch, at the same time.
///
/// Each field has one writer, named below; causality orders the rest (a reply follows its command,
/// a SYN follows its reply).
#[derive(Debug)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(C)]
pub struct Shared {
    /// Commands without a reply. Written by the client's side.
    pub(super) fifo: Fifo,
    /// Bits of [`State`]. Written by the server's side.
    state: Half,
    /// What the server has acknowledged of the client's stream. Written by the server's side.
    acknowledged: Half,
    /// Number of EPSV ALL refused. Written by the server's side.
    pub(super) epsv_all_refused: Half,
    /// Port of the active tuple armed last; 0 for none. Written by the client's side at the command,
    /// by the server's side where the reply arms.
    active_port: Half,
    /// Port of the passive tuple armed last; 0 for none. Written by the server's side.
    passive_port: Half,
    /// See [`Self::daemon`]. Written before the session is seen.
    daemon: Half,
}

impl Shared {
    /// The state bits.
    #[inline(always)]
    #[must_use]
    pub fn state(&self) -> State {
        State(self.state.load())
    }

    /// Sets bits of [`State`]. Server's side only, but for the end.
    #[inline(always)]
    pub fn set(&self, bits: u32) {
        self.state.store(self.state.load() | bits);
    }

    /// The session was met in the middle, or bytes that may have held its login are lost: it is taken
    /// as logged in. A server to which it is not will answer no PASV.
    #[inline(always)]
    pub fn adopt(&self) {
        self.set(State::GREETED | State::LOGGED_IN);
    }

    /// Clears bits of [`State`]. Server's side only.
    #[inline(always)]
    pub fn clear(&self, bits: u32) {
        self.state.store(self.state.load() & !bits);
    }

    /// What the server has acknowledged of the client's stream: a TCP sequence number.
    #[inline(always)]
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        self.acknowledged.load()
    }

    /// The server acknowledged the client's stream up to `sequence`.
    #[inline(always)]
    pub fn acknowledge(&self, sequence: u32) {
        self.acknowledged.store(sequence);
    }

    /// Port on the client of the active tuple armed last; 0 for none.
    #[inline(always)]
    #[must_use]
    pub fn active_port(&self) -> u16 {
        self.active_port.load() as u16
    }

    /// Remembers the active tuple that was armed.
    #[inline(always)]
    pub fn set_active_port(&self, port: u16) {
        self.active_port.store(u32::from(port));
    }

    /// Port on the server of the passive tuple armed last; 0 for none.
    #[inline(always)]
    #[must_use]
    pub fn passive_port(&self) -> u16 {
        self.passive_port.load() as u16
    }

    /// Remembers the passive tuple that was armed.
    #[inline(always)]
    pub fn set_passive_port(&self, port: u16) {
        self.passive_port.store(u32::from(port));
    }

    /// The daemon that the session is entitled to the listeners of, while it is opaque: the number of a
    /// control port.
    #[inline(always)]
    #[must_use]
    pub fn daemon(&self) -> u32 {
        self.daemon.load()
    }

    /// At the session's birth.
    #[inline(always)]
    pub fn set_daemon(&self, daemon: u32) {
        self.daemon.store(daemon);
    }

    /// Whether the client bound itself to EPSV (RFC 2428 §4), and the server did not refuse.
    #[inline(always)]
    pub(super) fn epsv_only(&self) -> bool {
        self.fifo.epsv_all.load() != self.epsv_all_refused.load()
    }
}
