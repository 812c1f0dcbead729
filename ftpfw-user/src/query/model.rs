//! What queries answer: the JSON of DESIGN §8, name by name.

mod counted;
mod running;

use std::net::IpAddr;

pub use counted::Stats;
pub use running::RunningRow;
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

/// Where an FTP daemon listens for clients with opaque sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRow {
    /// Its address; `None` for all of the host's.
    pub server: Option<IpAddr>,
    /// Its port.
    pub port: u32,
    /// The daemon: a control port of its.
    pub daemon: u32,
    /// For which client; `None` for all that have an opaque session.
    pub client: Option<IpAddr>,
    /// Its session; `None` if that is not known.
    pub session: Option<u64>,
    /// Since it was opened.
    pub age_ms: u64,
}

/// A connection, or an exchange of datagrams, that no socket of this host answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRow {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The other end.
    pub remote: IpAddr,
    /// Its port.
    pub remote_port: u16,
    /// This host's address, as seen on the NIC.
    pub local: IpAddr,
    /// The port there.
    pub local_port: u16,
    /// `handshake`, `live` or `closing`.
    pub state: String,
    /// Until its packets are dropped, if none comes.
    pub expires_in_ms: u64,
}

/// Ports with one and the same policy, of which none or the only one has tuples or listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRow {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// `unprotected`, `closed` (unless a tuple, a listener or the passive range lets a client in) or `open`.
    pub tcp: String,
    /// `unprotected`, `closed` (but for answers) or `open`.
    pub udp: String,
    /// Whether control connections arrive here.
    pub control: bool,
    /// Whether they are TLS from the first byte.
    pub implicit_tls: bool,
    /// Whether clients with encrypted sessions are let in (`--ftps range`).
    pub passive_range: bool,
    /// Whether a program that is no FTP daemon listens, so that nothing is armed by negotiation.
    pub foreign: bool,
    /// How many passive tuples are armed.
    pub armed: u32,
    /// How many listeners of FTP daemons there are.
    pub listeners: u32,
}

/// A protected interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// `native`, `generic` or `tc`; `none` when its filter is not there.
    pub mode: String,
    /// Packets of it that went through.
    pub passed: u64,
    /// Packets of it that did not.
    pub dropped: u64,
}

/// How ftpfw is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The agent; `None` when none runs.
    pub agent: Option<AgentRow>,
    /// What is protected.
    pub interfaces: Vec<InterfaceRow>,
    /// What the programs were told.
    pub policy: PolicyRow,
    /// Control connections that are followed.
    pub sessions: usize,
    /// Tuples that are armed.
    pub armed: usize,
    /// Data connections that are established.
    pub claimed: usize,
    /// Flows of no local socket.
    pub flows: usize,
    /// Listeners of FTP daemons for clients with encrypted sessions.
    pub listeners: usize,
    /// Packets that went through.
    pub passed: u64,
    /// Packets that did not.
    pub dropped: u64,
    /// Records that the ring buffer had no room for.
    pub events_lost: u64,
}

/// What the programs were told, agent or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyRow {
    /// Who arms tuples: `inline` or `agent`.
    pub opener: &'static str,
    /// How encrypted sessions get data connections: `listener`, `range` or `deny`.
    pub ftps: &'static str,
    /// Whether everything is decided and counted, and nothing dropped.
    pub dry_run: bool,
    /// Ports of control connections, those of implicit TLS included.
    pub control_ports: Vec<u16>,
    /// How long an armed tuple lives.
    pub tuple_lifetime_ms: u64,
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
    /// How often kernel and agent concluded differently from the same bytes: 0, or there is a bug.
    pub disagreements: u64,
    /// How often a client sent control bytes again, and others than the first time.
    pub contradictions: u64,
    /// Events that the log had no room for (`--max-log-lines`).
    pub log_left_out: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Names in JSON are stable: a script of somebody's reads them.
    #[test]
    fn tuples_and_sessions_have_the_names_of_the_design() {
        let tuple = TupleRow {
            client: "192.0.2.7".parse().unwrap(),
            client_port: None,
            server: "2001:db8::1".parse().unwrap(),
            port: Some(50_001),
            mode: "passive".to_owned(),
            state: "armed".to_owned(),
            session: Some(3),
            age_ms: 20,
            expires_in_ms: Some(119_980),
        };
        assert_eq!(
            serde_json::to_value(&tuple).unwrap(),
            json!({
                "client": "192.0.2.7", "client_port": null, "server": "2001:db8::1", "port": 50001,
                "mode": "passive", "state": "armed", "session": 3, "age_ms": 20,
                "expires_in_ms": 119_980,
            }),
        );
        let session = SessionRow {
            id: 3,
            client: "192.0.2.7".parse().unwrap(),
            client_port: 40_000,
            server: "192.0.2.1".parse().unwrap(),
            server_port: 21,
            user: None,
            state: "greeted".to_owned(),
            tls: false,
            adopted: true,
            last_command: Some("USER alice".to_owned()),
            transfers: 0,
            bytes_in: 12,
            bytes_out: 20,
            age_ms: 5,
        };
        assert_eq!(
            serde_json::to_value(&session).unwrap(),
            json!({
                "id": 3, "client": "192.0.2.7", "client_port": 40000, "server": "192.0.2.1",
                "server_port": 21, "user": null, "state": "greeted", "tls": false, "adopted": true,
                "last_command": "USER alice", "transfers": 0, "bytes_in": 12, "bytes_out": 20,
                "age_ms": 5,
            }),
        );
    }
}
