//! What `ftpfw … --json` prints, as far as tests look at it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// A line of `ftpfw list tuples --json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Tuple {
    /// Address of the client.
    pub client: IpAddr,
    /// Port of the client, of an active tuple.
    pub client_port: Option<u16>,
    /// Address of the server.
    pub server: IpAddr,
    /// Port of the server, of a passive tuple.
    pub port: Option<u16>,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: String,
    /// `armed` or `claimed`.
    pub state: String,
}

/// A line of `ftpfw list sessions --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Address of the client.
    pub client: IpAddr,
    /// Port of the client's end of the control connection.
    pub client_port: u16,
    /// Who logged in.
    pub user: Option<String>,
    /// What the session waits for.
    pub state: String,
    /// Whether its bytes are encrypted.
    pub tls: bool,
}

/// A line of `ftpfw events --json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Event {
    /// Its place in the journal.
    pub number: u64,
    /// RFC 3339.
    pub time: String,
    /// What kind of event.
    pub event: String,
    /// The session's number.
    pub session: Option<u64>,
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// Port of the client's end of the connection.
    pub client_port: Option<u16>,
    /// Port that was negotiated.
    pub port: Option<u16>,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: Option<String>,
    /// Why it was refused or withdrawn.
    pub reason: Option<String>,
    /// Who logged in.
    pub user: Option<String>,
    /// The line that was refused.
    pub line: Option<String>,
    /// What a transfer was.
    #[serde(default)]
    pub transfer: Option<Transfer>,
    /// The sentence for people.
    pub text: String,
}

/// What a data connection was for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Transfer {
    /// `RETR` and so on.
    pub command: Option<String>,
    /// What it named.
    pub path: Option<String>,
    /// `upload` or `download`.
    pub direction: Option<String>,
    /// How much.
    pub bytes: Option<u64>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// How it ended.
    pub ended: String,
    /// The code that said so.
    pub reply: Option<u16>,
}

/// `ftpfw stats --json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Stats {
    /// Packets passed, by reason.
    pub pass: BTreeMap<String, u64>,
    /// Packets dropped, by reason.
    pub drop: BTreeMap<String, u64>,
    /// Packets that only `--dry-run` let through, by the reason to drop them.
    #[serde(default)]
    pub would_drop: BTreeMap<String, u64>,
    /// Tuples armed, by kind of negotiation.
    pub negotiations: BTreeMap<String, u64>,
    /// Negotiations that armed nothing, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Records lost by a full ring buffer.
    pub events_lost: u64,
}

impl Stats {
    /// Packets dropped for that reason.
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        self.drop.get(reason).copied().unwrap_or(0)
    }

    /// SYNs to protected ports that were dropped. One of a client's among them came before its tuple, or
    /// had none.
    #[must_use]
    pub fn dropped_syns(&self) -> u64 {
        let reasons = ["not-armed", "no-tuple", "expired", "handshake-too-late"];
        reasons.iter().map(|reason| self.dropped(reason)).sum()
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.drop.values().sum()
    }
}
