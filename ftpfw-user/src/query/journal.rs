//! What the agent answers to `GET /events`, and `ftpfw events --json` prints, an object a line.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its place in the agent's journal, from 1 on.
    pub number: u64,
    /// When: RFC 3339, UTC, to the millisecond. The programs read a clock that steps by a few of them:
    /// what came first is told by the numbers.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// `opened`, `logged-in`, `opaque`, `plain`, `closed`; `armed`, `claimed`, `finished`, `withdrawn`,
    /// `refused`, `transfer`; `bounce-out`, `disagreement`, `contradiction`, `events-lost`, `gap`;
    /// `interface-attached`, …; `reloaded`, `reload-failed`.
    pub event: String,
    /// The session's number.
    pub session: Option<u64>,
    /// The client; the place dialled, for `bounce-out`.
    pub client: Option<IpAddr>,
    /// The client's port of the control connection; of the data connection for `claimed`, `finished`
    /// and `bounce-out`.
    pub client_port: Option<u16>,
    /// The server's address.
    pub server: Option<IpAddr>,
    /// The server's port of the same connection as `client_port`.
    pub server_port: Option<u16>,
    /// The port negotiated: the server's if `mode` is `passive`, the client's if it is `active`.
    pub port: Option<u16>,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: Option<String>,
    /// What negotiated an `armed` one: `pasv`, `epsv` and so on, as `negotiations` in `ftpfw stats`.
    #[serde(default)]
    pub by: Option<String>,
    /// Why: of `refused` as `refused` in `ftpfw stats`, of `withdrawn` its cause.
    pub reason: Option<String>,
    /// Who is `logged-in`, or made the `transfer`.
    pub user: Option<String>,
    /// The line that was `refused`, escaped, secrets masked.
    pub line: Option<String>,
    /// What a `transfer` was.
    #[serde(default)]
    pub transfer: Option<TransferRow>,
    /// The sentence for people.
    pub text: String,
}

/// A data connection from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    /// `RETR`, `STOR`, `STOU`, `APPE`, `LIST`, `NLST` or `MLSD`, where it was seen.
    pub command: Option<String>,
    /// What it named, escaped.
    pub path: Option<String>,
    /// `upload` or `download`.
    pub direction: Option<String>,
    /// In that direction; `None` where no socket of this host told.
    pub bytes: Option<u64>,
    /// From handshake to end.
    pub duration_ms: Option<u64>,
    /// `bytes` by `duration_ms`.
    pub bytes_per_second: Option<u64>,
    /// `complete`, `aborted`, `failed` or `unknown`.
    pub ended: String,
    /// The code of the reply that says so.
    pub reply: Option<u16>,
}

/// Events that are newer than what was asked for, the oldest of them, and in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The number of the newest event that there is; 0 before the first.
    pub newest: u64,
    /// Not always all: ask on after the last of them, until `newest`.
    pub events: Vec<EventRow>,
}

/// `2026-11-22T14:02:11.123Z`.
pub(crate) mod rfc3339 {
    use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&MILLISECONDS.timestamp_to_string(time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Names in JSON are stable: a script of somebody's reads them.
    #[test]
    fn events_have_these_names_and_a_time_to_the_millisecond() {
        let row = EventRow {
            number: 7,
            time: "2026-11-22T14:02:11.1009Z".parse().unwrap(),
            event: "refused".to_owned(),
            session: Some(3),
            client: Some("192.0.2.7".parse().unwrap()),
            client_port: Some(40_000),
            server: Some("192.0.2.1".parse().unwrap()),
            server_port: Some(21),
            port: None,
            mode: None,
            by: None,
            reason: Some("bounce".to_owned()),
            user: None,
            line: Some("PORT 10,0,0,9,0,25".to_owned()),
            transfer: None,
            text: "session 3: refused (bounce): \"PORT 10,0,0,9,0,25\"".to_owned(),
        };
        let value = serde_json::to_value(&row).unwrap();
        assert_eq!(
            value,
            json!({
                "number": 7, "time": "2026-11-22T14:02:11.100Z", "event": "refused", "session": 3,
                "client": "192.0.2.7", "client_port": 40000, "server": "192.0.2.1", "server_port": 21,
                "port": null, "mode": null, "by": null, "reason": "bounce", "user": null,
                "line": "PORT 10,0,0,9,0,25", "transfer": null,
                "text": "session 3: refused (bounce): \"PORT 10,0,0,9,0,25\"",
            }),
        );
        let read: EventRow = serde_json::from_value(value).unwrap();
        assert_eq!(read.time, "2026-11-22T14:02:11.1Z".parse().unwrap());
    }
}
