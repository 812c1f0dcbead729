//! Ring-buffer records: an [`EventHeader`], followed for [`Kind::Payload`] by that many bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::keys::SessionKey;

/// Bytes of payload in one record at most. A segment with more is sent as several records.
pub const PAYLOAD_CHUNK: usize = 512;

/// A CPU wakes the agent once in so long for what is not urgent, ns: about as often as the coarse clock
/// ticks; a power of two, as each record is divided by it.
pub const TICK: u64 = 1 << 22;
/// When the agent looks again after it was woken, ns: later than a tick and what the coarse clock (10 ms at
/// `CONFIG_HZ=100`) may be behind, so that whatever came without waking it is there.
pub const SECOND_LOOK: u64 = 20_000_000;

/// Bits of the `number` of [`Kind::Opened`].
pub mod opened {
    /// The session was met in the middle.
    pub const ADOPTED: u32 = 1;
    /// The client spoke before, and nobody read it.
    pub const UNREAD: u32 = 1 << 1;
    /// Whether the client did nobody tells.
    pub const DOUBTFUL: u32 = 1 << 2;
}

/// What a record tells. Stable numbers: they cross the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A session was born. `number`: bits of [`opened`].
    Opened = 1,
    /// Bytes that the follower accepted: `sequence` of the first, `length` bytes behind the header.
    /// `number`: what their segment acknowledged; `detail`: 1 for the server's, if the daemon is behind
    /// this host.
    Payload = 2,
    /// The kernel resynchronised: bytes before `sequence` are lost to it.
    Gap = 3,
    /// A tuple was armed. `port`: the server's (passive) or client's (active); `detail`: [`super::values::Mode`];
    /// `number`: [`crate::reason::Negotiation`].
    Armed = 4,
    /// The data connection was established. `port` as in `Armed`, `number`: the port of the other end; `detail`: mode.
    Claimed = 5,
    /// A tuple was withdrawn or could not be used. `port` as in `Armed`, `detail`: mode, `number`: [`Cause`].
    Withdrawn = 6,
    /// An established data connection ended. Fields as in `Claimed`; behind the header, where a socket told
    /// them, [`Bytes`].
    Finished = 7,
    /// A negotiation was refused. `number`: [`crate::reason::Refusal`]; `port`: what would have been
    /// armed, where only the kernel could know better, else 0.
    Refused = 8,
    /// The session's bytes are TLS from here on: behind 234 (`direction`: the server), or because its
    /// port is one of implicit TLS (`direction`: the client).
    Opaque = 9,
    /// Plain text again, after CCC.
    Plain = 10,
    /// The control connection is over.
    Closed = 11,
    /// A listener on a protected port with armed tuples closed: key.server, key.server_port. The
    /// kernel withdrew the tuple armed last; `number` others may remain. 0: a listener that was no FTP
    /// daemon's closed, and the kernel could not take the bit [`super::policy::port::FOREIGN`] away.
    ListenerClosed = 12,
    /// An outgoing SYN from the FTP data port to a place that no session named was dropped:
    /// key.client, key.client_port.
    BounceOut = 13,
    /// A process began to listen on a protected port: key.server, key.server_port; `number`: its pid.
    Listening = 14,
    /// Bytes that came a second time, the first of them at least: as in `Payload`.
    Repeated = 15,
    /// The server's TCP threw away what was read of the client's from `sequence` on: it was no command.
    Rewound = 16,
}

impl Kind {
    /// The kind stored as `number`, if it is one.
    #[must_use]
    pub const fn from_u16(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Opened,
            2 => Self::Payload,
            3 => Self::Gap,
            4 => Self::Armed,
            5 => Self::Claimed,
            6 => Self::Withdrawn,
            7 => Self::Finished,
            8 => Self::Refused,
            9 => Self::Opaque,
            10 => Self::Plain,
            11 => Self::Closed,
            12 => Self::ListenerClosed,
            13 => Self::BounceOut,
            14 => Self::Listening,
            15 => Self::Repeated,
            16 => Self::Rewound,
            _ => return None,
        })
    }
}

/// Why a tuple went without being claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// The session negotiated another one.
    Replaced = 1,
    /// The server refused the PORT, EPRT or LPRT.
    Refused = 2,
    /// ABOR.
    Aborted = 3,
    /// REIN.
    Reinitialized = 4,
    /// The control connection ended.
    ControlClosed = 5,
    /// The listener closed.
    ListenerClosed = 6,
    /// The deadline passed.
    Expired = 7,
    /// `ftpfw revoke`.
    Revoked = 8,
    /// TCP threw away the segment with the PORT, EPRT or LPRT.
    Discarded = 9,
}

impl Cause {
    /// The cause stored as `number`, if it is one.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Replaced,
            2 => Self::Refused,
            3 => Self::Aborted,
            4 => Self::Reinitialized,
            5 => Self::ControlClosed,
            6 => Self::ListenerClosed,
            7 => Self::Expired,
            8 => Self::Revoked,
            9 => Self::Discarded,
            _ => return None,
        })
    }

    /// The name used in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Reinitialized => "reinitialized",
            Self::ControlClosed => "control-closed",
            Self::ListenerClosed => "listener-closed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Discarded => "discarded",
        }
    }
}

/// Who sent the payload of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Client to server: commands.
    Client = 0,
    /// Server to client: replies.
    Server = 1,
}

impl Direction {
    /// The direction stored as `byte`: 0 is the client, anything else the server.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Self {
        if byte == 0 {
            Self::Client
        } else {
            Self::Server
        }
    }
}

/// What went over a data connection, without the numbers that SYN and FIN take (RFC 9293 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bytes {
    /// From the client to the server.
    pub received: u64,
    /// From the server to the client, as far as the client has acknowledged them.
    pub acknowledged: u64,
}

/// Head of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EventHeader {
    /// ns of `CLOCK_MONOTONIC` (the coarse one: steps of a few ms).
    pub at: u64,
    /// [`super::values::Session::id`]; 0 where there is none.
    pub session: u64,
    /// The control connection; for events without one, the addresses that the event is about.
    pub key: SessionKey,
    /// [`Kind`].
    pub kind: u16,
    /// Bytes that follow the header.
    pub length: u16,
    /// TCP sequence number, for `Payload`, `Gap`, `Repeated` and `Rewound`; elsewhere the same as `number`.
    pub sequence: u32,
    /// See [`Kind`].
    pub number: u32,
    /// See [`Kind`].
    pub port: u16,
    /// [`Direction`] as a byte: whose bytes this is, or concludes from.
    pub direction: u8,
    /// See [`Kind`].
    pub detail: u8,
    /// Always 0.
    pub reserved: u32,
}
