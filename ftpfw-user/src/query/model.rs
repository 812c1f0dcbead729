//! What queries answer: the JSON of DESIGN §8, name by name.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

/// A data connection that is allowed or established.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleRow {
    /// The FTP client.
    pub client: IpAddr,
    /// Its port; `None` for any, as long as a passive tuple is not claimed.
    pub client_port: Option<u16>,
    /// The server's address.
    pub server: IpAddr,
    /// Its port; `None` for any, as long as an active tuple is not claimed.
    pub port: Option<u16>,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: String,
    /// `armed` or `claimed`.
    pub state: String,
    /// The session that negotiated it; `None` for a manual one.
    pub session: Option<u64>,
    /// Since it was armed.
    pub age_ms: u64,
    /// Until it expires; `None` once it is claimed.
    pub expires_in_ms: Option<u64>,
}

/// A control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its number.
    pub id: u64,
    /// The client.
    pub client: IpAddr,
    /// Its port.
    pub client_port: u16,
    /// The server.
    pub server: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// Who is logged in, where the agent saw it.
    pub user: Option<String>,
    /// `connected`, `greeted`, `logged-in`, `opaque` or `ended`.
    pub state: String,
    /// Whether its bytes are encrypted.
    pub tls: bool,
    /// Whether it was there before ftpfw.
    pub adopted: bool,
    /// The last command, secrets masked, where the agent saw it.
    pub last_command: Option<String>,
    /// Data connections that were established.
    pub transfers: u64,
    /// Bytes of commands.
    pub bytes_in: u64,
    /// Bytes of replies.
    pub bytes_out: u64,
    /// Since it was first seen.
    pub age_ms: u64,
}

/// A protected interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; `none` when its filter is not there.
    pub mode: String,
}

/// What was counted since the maps were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Where.
    pub interfaces: Vec<InterfaceRow>,
    /// Packets that went through, by reason.
    pub pass: BTreeMap<&'static str, u64>,
    /// Packets that did not, by reason.
    pub drop: BTreeMap<&'static str, u64>,
    /// Packets that only `--dry-run` let through, by the reason to drop them; what is 0 is left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub would_drop: BTreeMap<&'static str, u64>,
    /// Negotiations that armed a tuple, by kind.
    pub negotiations: BTreeMap<&'static str, u64>,
    /// Negotiations that armed none, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Records that the ring buffer had no room for.
    pub events_lost: u64,
    /// What else happened to the followers, by kind; for people.
    #[serde(skip)]
    pub losses: BTreeMap<&'static str, u64>,
}

/// How ftpfw is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The agent; `None` when none runs.
    pub agent: Option<AgentRow>,
    /// What is protected.
    pub interfaces: Vec<InterfaceRow>,
    /// Control connections that are followed.
    pub sessions: usize,
    /// Tuples that are armed.
    pub armed: usize,
    /// Data connections that are established.
    pub claimed: usize,
    /// Packets that went through.
    pub passed: u64,
    /// Packets that did not.
    pub dropped: u64,
}

/// The agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Since it began.
    pub uptime_ms: u64,
    /// Who arms tuples: `inline` or `agent`.
    pub opener: String,
    /// Whether it only counts.
    pub dry_run: bool,
}
