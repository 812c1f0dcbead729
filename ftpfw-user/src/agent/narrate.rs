//! What happened, a line each, in the words of DESIGN §2.

use std::net::{IpAddr, SocketAddr};

use ftpfw_common::{
    Address,
    abi::{event::Cause, keys::SessionKey, values::Mode},
    reason::Refusal,
};

use crate::query::units::{count, duration};

/// An address with a port, in the usual notation.
#[must_use]
pub fn socket(address: Address, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(address), port)
}

/// What is allowed by a tuple with this `port`: `10.0.0.1:50001 for 10.0.0.2`.
fn allowed(key: &SessionKey, mode: Mode, port: u16) -> String {
    match mode {
        Mode::Active => format!("{} for {}, active", socket(key.client, port), key.server),
        _ => format!("{} for {}", socket(key.server, port), key.client),
    }
}

/// A session began.
#[must_use]
pub fn opened(id: u64, key: &SessionKey, adopted: bool) -> String {
    let how = if adopted { " (met in the middle)" } else { "" };
    let client = socket(key.client, key.client_port);
    format!(
        "session {id}: {client} connected to {}{how}",
        socket(key.server, key.server_port)
    )
}

/// A session is over.
#[must_use]
pub fn closed(id: u64, age_ms: u64, transfers: u64) -> String {
    let plural = if transfers == 1 { "" } else { "s" };
    format!(
        "session {id}: closed after {}, {} transfer{plural}",
        duration(age_ms),
        count(transfers)
    )
}

/// A login succeeded.
#[must_use]
pub fn logged_in(id: u64, user: Option<&str>) -> String {
    format!(
        "session {id}: logged in as {}",
        user.unwrap_or("somebody whose USER was not seen")
    )
}

/// A tuple was armed.
#[must_use]
pub fn armed(id: u64, key: &SessionKey, mode: Mode, port: u16) -> String {
    format!("session {id}: armed {}", allowed(key, mode, port))
}

/// A data connection was established; `key` names both its ports.
#[must_use]
pub fn claimed(id: u64, key: &SessionKey, mode: Mode) -> String {
    format!("session {id}: claimed {}", data_connection(key, mode))
}

/// An established data connection ended.
#[must_use]
pub fn finished(id: u64, key: &SessionKey, mode: Mode) -> String {
    format!("session {id}: finished {}", data_connection(key, mode))
}

/// Who dialled whom.
fn data_connection(key: &SessionKey, mode: Mode) -> String {
    let client = socket(key.client, key.client_port);
    let server = socket(key.server, key.server_port);
    match mode {
        Mode::Active => format!("{client} by {server}, active"),
        _ => format!("{server} by {client}"),
    }
}

/// A tuple went without being claimed.
#[must_use]
pub fn withdrawn(id: u64, key: &SessionKey, mode: Mode, port: u16, cause: Cause) -> String {
    format!(
        "session {id}: withdrawn {} ({})",
        allowed(key, mode, port),
        cause.name()
    )
}

/// A negotiation armed nothing; `line` is escaped.
#[must_use]
pub fn refused(id: u64, refusal: Refusal, line: Option<&str>) -> String {
    match line {
        Some(line) => format!("session {id}: refused ({}): \"{line}\"", refusal.name()),
        None => format!("session {id}: refused ({})", refusal.name()),
    }
}
