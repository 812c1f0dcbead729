//! What `ftpfw replay --json` answers, name by name. Names are stable; times are µs since the first
//! packet.

use std::{collections::BTreeMap, net::IpAddr};

use ftpfw_common::{
    Address,
    abi::{event::Cause, keys::SessionKey, values::Mode},
    reason::{Negotiation, Reason, Refusal},
};
use serde::Serialize;

/// Numbers by stable names.
pub type Counts = BTreeMap<&'static str, u64>;

/// A whole capture.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The file.
    pub file: String,
    /// Addresses that were protected.
    pub servers: Vec<IpAddr>,
    /// Packets in the file.
    pub packets: u64,
    /// Packets between other hosts.
    pub unjudged: u64,
    /// Packets that were captured in part only.
    pub cut_short: u64,
    /// From the first packet to the last.
    pub duration_us: u64,
    /// Control connections, in the order in which they were met.
    pub sessions: Vec<SessionRow>,
    /// Data connections, and attempts at one.
    pub connections: Vec<ConnectionRow>,
    /// Packets that the filter lets through, by reason.
    pub pass: Counts,
    /// Packets that it does not, by reason.
    pub drop: Counts,
    /// Negotiations that armed a tuple, by kind.
    pub negotiations: Counts,
    /// Negotiations that armed none, by reason.
    pub refused: Counts,
}

/// A control connection.
#[derive(Clone, Debug, Serialize)]
pub struct SessionRow {
    /// Its number, from 1.
    pub id: u64,
    /// The client.
    pub client: IpAddr,
    /// Its port.
    pub client_port: u16,
    /// The server.
    pub server: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// Who logged in; escaped.
    pub user: Option<String>,
    /// Whether it was encrypted at any time.
    pub tls: bool,
    /// Whether it was met in the middle.
    pub adopted: bool,
    /// When it was first seen.
    pub at_us: u64,
    /// When it ended; `None`: not within the capture.
    pub ended_at_us: Option<u64>,
    /// Data connections that were established.
    pub transfers: u64,
    /// Times that a stream went on behind bytes that the capture does not have.
    pub gaps: u64,
    /// Segments without a new byte.
    pub retransmitted: u64,
    /// Segments that the kernel drops, so that TCP sends them again in order.
    pub out_of_order: u64,
    /// Command lines; secrets are masked.
    pub commands: Vec<CommandRow>,
    /// What armed a tuple.
    pub negotiations: Vec<NegotiationRow>,
    /// What armed none.
    pub refusals: Vec<RefusalRow>,
}

impl SessionRow {
    pub(super) fn new(id: u64, key: &SessionKey, adopted: bool, tls: bool, at: u64) -> Self {
        Self {
            id,
            client: key.client.into(),
            client_port: key.client_port,
            server: key.server.into(),
            server_port: key.server_port,
            user: None,
            tls,
            adopted,
            at_us: us(at),
            ended_at_us: None,
            transfers: 0,
            gaps: 0,
            retransmitted: 0,
            out_of_order: 0,
            commands: Vec::new(),
            negotiations: Vec::new(),
            refusals: Vec::new(),
        }
    }
}

/// A command line.
#[derive(Clone, Debug, Serialize)]
pub struct CommandRow {
    /// When it was whole.
    pub at_us: u64,
    /// Escaped, secrets masked.
    pub line: String,
}

impl CommandRow {
    pub(super) const fn new(at: u64, line: String) -> Self {
        Self {
            at_us: us(at),
            line,
        }
    }
}

/// A negotiation that armed a tuple.
#[derive(Clone, Debug, Serialize)]
pub struct NegotiationRow {
    /// When.
    pub at_us: u64,
    /// `pasv`, `epsv`, `lpsv`, `spsv`, `port`, `eprt` or `lprt`.
    pub by: &'static str,
    /// `passive` or `active`.
    pub mode: &'static str,
    /// The server's port (passive) or the client's (active).
    pub port: u16,
    /// The line that armed it; escaped.
    pub line: String,
    /// `armed` to the end of the capture, `claimed`, or why it was withdrawn.
    pub outcome: &'static str,
    /// When it came to that; `None` as long as it is armed.
    pub ended_at_us: Option<u64>,
}

/// What became of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(&'static str);

impl Outcome {
    const ARMED: Self = Self("armed");
    /// Its connection was established.
    pub const CLAIMED: Self = Self("claimed");

    /// It went for that cause.
    #[must_use]
    pub const fn withdrawn(cause: Cause) -> Self {
        Self(cause.name())
    }
}

impl NegotiationRow {
    pub(super) const fn new(at: u64, by: Negotiation, mode: Mode, port: u16, line: String) -> Self {
        Self {
            at_us: us(at),
            by: by.name(),
            mode: mode.name(),
            port,
            line,
            outcome: Outcome::ARMED.0,
            ended_at_us: None,
        }
    }

    pub(super) fn is_armed(&self, mode: Mode, port: u16) -> bool {
        self.outcome == Outcome::ARMED.0 && self.mode == mode.name() && self.port == port
    }

    pub(super) const fn end(&mut self, outcome: Outcome, at: u64) {
        self.outcome = outcome.0;
        self.ended_at_us = Some(us(at));
    }
}

/// A negotiation that armed nothing.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalRow {
    /// When.
    pub at_us: u64,
    /// Why, by the name that `ftpfw stats` has for it.
    pub reason: &'static str,
    /// The offending line; escaped.
    pub line: String,
}

impl RefusalRow {
    pub(super) const fn new(at: u64, refusal: Refusal, line: String) -> Self {
        Self {
            at_us: us(at),
            reason: refusal.name(),
            line,
        }
    }
}

/// A data connection, or an attempt at one.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// When it was first seen.
    pub at_us: u64,
    /// The other end.
    pub client: IpAddr,
    /// Its port.
    pub client_port: u16,
    /// The server.
    pub server: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// Who dialled: `passive` the client, `active` the server; `None`: before the capture began.
    pub mode: Option<&'static str>,
    /// The session whose tuple it used, or else the client's latest.
    pub session: Option<u64>,
    /// Whether that session was encrypted then: what it negotiated cannot be known.
    pub tls: bool,
    /// `pass` or `drop`.
    pub verdict: &'static str,
    /// Of the SYN; of the first packet that was dropped where the handshake came too late.
    /// Beyond the filter's reasons: `outgoing`, a connection that the server may always make.
    pub reason: &'static str,
    /// Whether the handshake was seen to be complete.
    pub established: bool,
    /// Packets to the server that are let through.
    pub passed: u64,
    /// Packets to the server that are dropped.
    pub dropped: u64,
}

impl ConnectionRow {
    pub(super) fn new(at: u64, key: &SessionKey, mode: Option<Mode>) -> Self {
        let ip = |address: Address| IpAddr::from(address);
        Self {
            at_us: us(at),
            client: ip(key.client),
            client_port: key.client_port,
            server: ip(key.server),
            server_port: key.server_port,
            mode: mode.map(Mode::name),
            session: None,
            tls: false,
            verdict: "pass",
            reason: OUTGOING,
            established: false,
            passed: 0,
            dropped: 0,
        }
    }

    /// Whether it comes through.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.verdict == "pass"
    }

    /// The verdict on it as a whole.
    pub(super) const fn judge(&mut self, reason: Reason) {
        self.verdict = if reason.is_pass() { "pass" } else { "drop" };
        self.reason = reason.name();
    }
}

/// A connection that nobody has to allow.
const OUTGOING: &str = "outgoing";

/// ns as µs.
#[must_use]
pub const fn us(ns: u64) -> u64 {
    ns / 1000
}
