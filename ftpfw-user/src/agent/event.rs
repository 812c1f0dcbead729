//! What happens: one type for the log, the journal and the queries.

use ftpfw_common::{
    abi::{
        event::{Cause, EventHeader},
        keys::{SessionKey, TupleKey},
        values::{Mode, Tuple},
    },
    reason::{Negotiation, Refusal},
};
use tracing::Level;

use super::{agreement::Disagreement, transfer::Transfer};
use crate::kernel::pins::AttachedMode;

/// Something happened, to a session or to the agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number of the session; 0 where there is none.
    pub session: u64,
    /// The ends of the control connection, or of the data connection for [`Happening::Claimed`],
    /// [`Happening::Finished`] and [`Happening::BounceOut`]. Where only the tuple is known, the client's
    /// port is 0, and the server's says nothing.
    pub key: Option<SessionKey>,
    /// What it was.
    pub what: Happening,
}

/// What happened. Text in it is escaped, and without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A session began; `adopted`: it was met in the middle.
    Opened { adopted: bool },
    /// A login succeeded; as whom, if its USER was seen.
    LoggedIn { user: Option<String> },
    /// TLS from here on.
    Opaque,
    /// Plain text again.
    Plain,
    /// A session ended, after so many data connections.
    Closed { age_ms: u64, transfers: u64 },
    /// A tuple was armed; `port`: the server's (passive) or the client's (active); `by`: what negotiated
    /// it, if anything did.
    Armed {
        mode: Mode,
        port: u16,
        by: Option<Negotiation>,
    },
    /// A data connection was established.
    Claimed { mode: Mode },
    /// An established data connection ended.
    Finished { mode: Mode },
    /// A data connection is over, and what it was for is known, as far as it will be.
    Transferred(Box<Transfer>),
    /// A tuple went without being claimed; `port` as in `Armed`.
    Withdrawn { mode: Mode, port: u16, cause: Cause },
    /// A negotiation armed nothing; in which line, if it was seen.
    Refused {
        refusal: Refusal,
        line: Option<String>,
    },
    /// The server dialled what no session named, from the FTP data port.
    BounceOut,
    /// Kernel and agent concluded differently from the same bytes.
    Disagreement(Disagreement),
    /// The client sent bytes again, and others than the first time.
    Contradiction,
    /// Records that the ring buffer had no room for.
    EventsLost { number: u64 },
    /// Bytes of a control connection that the kernel did not see.
    Gap,
    /// Commands that were read already, and that the server's TCP threw away.
    Rewound,
    /// A protected interface was deleted, or moved to another network namespace.
    InterfaceGone { name: String },
    /// An interface that is to be protected came (back), and is.
    InterfaceAttached { name: String, mode: AttachedMode },
    /// A protected interface has another name; it stays protected.
    InterfaceRenamed { from: String, to: String },
    /// An interface that is to be protected came (back), and cannot be.
    InterfaceUnprotected { name: String, error: String },
    /// An interface that was protected is not to be any more, and is not.
    InterfaceDetached { name: String },
    /// The configuration was read again and holds; what has changed.
    Reloaded { changes: String },
    /// The configuration was read again and is wrong: that of before holds.
    ReloadFailed { error: String },
}

impl Event {
    /// Something that is about no session.
    #[must_use]
    pub const fn of_agent(what: Happening) -> Self {
        Self {
            session: 0,
            key: None,
            what,
        }
    }

    /// Whether it is about no session, so that clients cannot make it happen as often as they like.
    #[must_use]
    pub const fn is_of_agent(&self) -> bool {
        self.key.is_none()
    }

    /// What a record tells.
    #[must_use]
    pub const fn of(header: &EventHeader, what: Happening) -> Self {
        Self {
            session: header.session,
            key: Some(header.key),
            what,
        }
    }

    /// The agent, or an operator, withdrew a tuple by its key.
    #[must_use]
    pub fn withdrawn(key: &TupleKey, tuple: &Tuple, cause: Cause) -> Self {
        let (usual, port) = if key.is_passive() {
            (Mode::Passive, key.server_port)
        } else {
            (Mode::Active, key.client_port)
        };
        let mode = Mode::from_u8(tuple.mode).unwrap_or(usual);
        Self::of_tuple(
            tuple.session,
            key,
            Happening::Withdrawn { mode, port, cause },
        )
    }

    /// Something happened to a tuple of which no more is known than its key.
    #[must_use]
    pub const fn of_tuple(session: u64, key: &TupleKey, what: Happening) -> Self {
        let ends = SessionKey {
            client: key.client,
            server: key.server,
            client_port: 0,
            server_port: 0,
        };
        Self {
            session,
            key: Some(ends),
            what,
        }
    }

    /// Bytes that it holds outside itself.
    #[must_use]
    pub fn text_len(&self) -> usize {
        match &self.what {
            Happening::LoggedIn { user: text } | Happening::Refused { line: text, .. } => {
                text.as_ref().map_or(0, String::capacity)
            }
            Happening::Reloaded { changes: text } | Happening::ReloadFailed { error: text } => {
                text.capacity()
            }
            Happening::Transferred(transfer) => {
                let texts = [&transfer.user, &transfer.path];
                let texts = texts.into_iter().flatten().map(String::capacity);
                size_of::<Transfer>() + texts.sum::<usize>()
            }
            _ => 0,
        }
    }
}

impl Happening {
    /// The name used in JSON; stable.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::LoggedIn { .. } => "logged-in",
            Self::Opaque => "opaque",
            Self::Plain => "plain",
            Self::Closed { .. } => "closed",
            Self::Armed { .. } => "armed",
            Self::Claimed { .. } => "claimed",
            Self::Finished { .. } => "finished",
            Self::Transferred(_) => "transfer",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Refused { .. } => "refused",
            Self::BounceOut => "bounce-out",
            Self::Disagreement(_) => "disagreement",
            Self::Contradiction => "contradiction",
            Self::EventsLost { .. } => "events-lost",
            Self::Gap => "gap",
            Self::Rewound => "rewound",
            Self::InterfaceGone { .. } => "interface-gone",
            Self::InterfaceAttached { .. } => "interface-attached",
            Self::InterfaceRenamed { .. } => "interface-renamed",
            Self::InterfaceUnprotected { .. } => "interface-unprotected",
            Self::InterfaceDetached { .. } => "interface-detached",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadFailed { .. } => "reload-failed",
        }
    }

    /// How loud the log says it.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Disagreement(_)
            | Self::InterfaceUnprotected { .. }
            | Self::ReloadFailed { .. } => Level::ERROR,
            Self::Refused { .. }
            | Self::BounceOut
            | Self::Contradiction
            | Self::EventsLost { .. }
            | Self::InterfaceGone { .. }
            | Self::InterfaceRenamed { .. } => Level::WARN,
            Self::Gap | Self::Rewound => Level::DEBUG,
            _ => Level::INFO,
        }
    }
}
