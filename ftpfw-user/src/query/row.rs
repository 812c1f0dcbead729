//! What `ftpfw list` shows a line of: its columns, and what it can be sorted by.

use std::net::{IpAddr, SocketAddr};

use comfy_table::{Cell, Color};
use serde::Serialize;
use serde_json::Value;

use super::{
    key::Key,
    model::{FlowRow, ListenerRow, PortRow, SessionRow, TupleRow},
    units::{bytes, count, duration},
};

/// A line of a list.
pub trait Row: Serialize {
    /// What is said if there is none.
    const NOTHING: &'static str;
    /// The titles of the columns.
    const HEADER: &'static [&'static str];
    /// Which columns are numbers, set flush right.
    const NUMBERS: &'static [usize];
    /// The names of its fields in JSON.
    const FIELDS: &'static [&'static str];

    /// A cell for each column.
    fn cells(&self) -> Vec<Cell>;
    /// Whose line it is; `None` for everybody's.
    fn client(&self) -> Option<IpAddr>;

    /// What it is sorted by: the field `name`.
    fn key(&self, name: &str) -> Key {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut fields)) => fields.remove(name).map_or(Key::Nothing, Key::of),
            _ => Key::Nothing,
        }
    }
}

fn or_any<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "*".to_owned(), |value| value.to_string())
}

pub(super) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A state, coloured where it says that something is open.
fn state(text: &str) -> Cell {
    let cell = Cell::new(text);
    match text {
        "armed" | "open" | "handshake" => cell.fg(Color::Yellow),
        "claimed" | "live" | "logged-in" => cell.fg(Color::Green),
        _ => cell,
    }
}

/// A port that may be any is `*`.
impl Row for TupleRow {
    const NOTHING: &'static str = "no tuples";
    const HEADER: &'static [&'static str] = &[
        "CLIENT",
        "PORT",
        "SERVER",
        "PORT",
        "MODE",
        "STATE",
        "SESSION",
        "AGE",
        "EXPIRES IN",
    ];
    const NUMBERS: &'static [usize] = &[1, 3, 6, 7, 8];
    const FIELDS: &'static [&'static str] = &[
        "client",
        "client_port",
        "server",
        "port",
        "mode",
        "state",
        "session",
        "age_ms",
        "expires_in_ms",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(self.client),
            Cell::new(or_any(self.client_port)),
            Cell::new(self.server),
            Cell::new(or_any(self.port)),
            Cell::new(&self.mode),
            state(&self.state),
            Cell::new(or_none(self.session)),
            Cell::new(duration(self.age_ms)),
            Cell::new(or_none(self.expires_in_ms.map(duration))),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }
}

impl Row for SessionRow {
    const NOTHING: &'static str = "no sessions";
    const HEADER: &'static [&'static str] = &[
        "ID",
        "CLIENT",
        "SERVER",
        "USER",
        "STATE",
        "TRANSFERS",
        "IN",
        "OUT",
        "AGE",
        "LAST COMMAND",
    ];
    const NUMBERS: &'static [usize] = &[0, 5, 6, 7, 8];
    const FIELDS: &'static [&'static str] = &[
        "id",
        "client",
        "client_port",
        "server",
        "server_port",
        "user",
        "state",
        "tls",
        "adopted",
        "last_command",
        "transfers",
        "bytes_in",
        "bytes_out",
        "age_ms",
    ];

    fn cells(&self) -> Vec<Cell> {
        let adopted = if self.adopted { " (adopted)" } else { "" };
        let status = match self.adopted {
            true => Cell::new(format!("{}{adopted}", self.state)),
            false => state(&self.state),
        };
        vec![
            Cell::new(self.id),
            Cell::new(SocketAddr::new(self.client, self.client_port)),
            Cell::new(SocketAddr::new(self.server, self.server_port)),
            Cell::new(or_none(self.user.as_ref())),
            status,
            Cell::new(count(self.transfers)),
            Cell::new(bytes(self.bytes_in)),
            Cell::new(bytes(self.bytes_out)),
            Cell::new(duration(self.age_ms)),
            Cell::new(or_none(self.last_command.as_ref())),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }
}

impl Row for FlowRow {
    const NOTHING: &'static str = "no flows";
    const HEADER: &'static [&'static str] = &[
        "PROTOCOL",
        "REMOTE",
        "PORT",
        "LOCAL",
        "PORT",
        "STATE",
        "EXPIRES IN",
    ];
    const NUMBERS: &'static [usize] = &[2, 4, 6];
    const FIELDS: &'static [&'static str] = &[
        "protocol",
        "remote",
        "remote_port",
        "local",
        "local_port",
        "state",
        "expires_in_ms",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(&self.protocol),
            Cell::new(self.remote),
            Cell::new(self.remote_port),
            Cell::new(self.local),
            Cell::new(self.local_port),
            state(&self.state),
            Cell::new(duration(self.expires_in_ms)),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.remote)
    }
}

/// An address or a client that may be any is `*`.
impl Row for ListenerRow {
    const NOTHING: &'static str = "no listeners";
    const HEADER: &'static [&'static str] =
        &["SERVER", "PORT", "DAEMON", "CLIENT", "SESSION", "AGE"];
    const NUMBERS: &'static [usize] = &[1, 4, 5];
    const FIELDS: &'static [&'static str] =
        &["server", "port", "daemon", "client", "session", "age_ms"];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(or_any(self.server)),
            Cell::new(self.port),
            Cell::new(format!("port {}", self.daemon)),
            Cell::new(or_any(self.client)),
            Cell::new(or_none(self.session)),
            Cell::new(duration(self.age_ms)),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

impl Row for PortRow {
    const NOTHING: &'static str = "every protected port is closed";
    const HEADER: &'static [&'static str] = &["PORTS", "TCP", "UDP", "USE", "TUPLES", "LISTENERS"];
    const NUMBERS: &'static [usize] = &[4, 5];
    const FIELDS: &'static [&'static str] = &[
        "first",
        "last",
        "tcp",
        "udp",
        "control",
        "implicit_tls",
        "passive_range",
        "foreign",
        "armed",
        "listeners",
    ];

    fn cells(&self) -> Vec<Cell> {
        let ports = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}-{}", self.first, self.last),
        };
        let uses = [
            (self.control, "control"),
            (self.implicit_tls, "implicit TLS"),
            (self.passive_range, "passive range"),
            (self.foreign, "another program's"),
        ];
        let uses: Vec<_> = uses.iter().filter(|it| it.0).map(|it| it.1).collect();
        vec![
            Cell::new(ports),
            state(&self.tcp),
            state(&self.udp),
            Cell::new(or_none((!uses.is_empty()).then(|| uses.join(", ")))),
            Cell::new(self.armed),
            Cell::new(self.listeners),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::model::RunningRow;

    /// What `--sort` offers and `--json` prints is documented, name by name.
    #[test]
    fn every_field_is_documented() {
        let page = include_str!("../../../docs/json.md");
        for (list, fields) in [
            ("tuples", TupleRow::FIELDS),
            ("sessions", SessionRow::FIELDS),
            ("transfers", RunningRow::FIELDS),
            ("flows", FlowRow::FIELDS),
            ("listeners", ListenerRow::FIELDS),
            ("ports", PortRow::FIELDS),
        ] {
            let section = page
                .split("\n## ")
                .find(|it| it.starts_with(&format!("list {list}\n")));
            let documented: Vec<_> = section
                .unwrap_or_else(|| panic!("no section on {list}"))
                .lines()
                .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
                .collect();
            assert_eq!(documented, fields, "{list}");
        }
    }
}
