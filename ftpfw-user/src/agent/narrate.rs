//! What happened, a sentence each, in the words of DESIGN §2.

use std::net::{IpAddr, SocketAddr};

use ftpfw_common::{
    Address,
    abi::{keys::SessionKey, values::Mode},
    reason::Refusal,
};

use super::{
    event::{Event, Happening},
    transfer::Transfer,
};
use crate::query::units::{bytes, count, duration};

/// The sentence for people, in the log and in `ftpfw events`.
#[must_use]
pub fn sentence(event: &Event) -> String {
    let about = what(event);
    match event.session {
        0 => about,
        id => format!("session {id}: {about}"),
    }
}

fn what(event: &Event) -> String {
    let nowhere = SessionKey {
        client: Address::UNSPECIFIED,
        server: Address::UNSPECIFIED,
        client_port: 0,
        server_port: 0,
    };
    let key = event.key.as_ref().unwrap_or(&nowhere);
    match &event.what {
        Happening::Opened { adopted } => opened(key, *adopted),
        Happening::LoggedIn { user } => format!(
            "logged in as {}",
            user.as_deref()
                .unwrap_or("somebody whose USER was not seen")
        ),
        Happening::Opaque => "encrypted from here on".to_owned(),
        Happening::Plain => "plain text again from here on".to_owned(),
        Happening::Closed { age_ms, transfers } => closed(*age_ms, *transfers),
        Happening::Armed { mode, port, .. } => {
            format!("armed {}", allowed(key, *mode, *port))
        }
        Happening::Claimed { mode } => format!("claimed {}", data_connection(key, *mode)),
        Happening::Finished { mode } => format!("finished {}", data_connection(key, *mode)),
        Happening::Transferred(it) => transferred(it),
        Happening::Withdrawn { mode, port, cause } => {
            format!(
                "withdrawn {} ({})",
                allowed(key, *mode, *port),
                cause.name()
            )
        }
        Happening::Refused { refusal, line } => refused(*refusal, line.as_deref()),
        Happening::BounceOut => format!(
            "dropped a connection from the FTP data port to {}, which no session named",
            socket(key.client, key.client_port)
        ),
        Happening::Disagreement(difference) => difference.to_string(),
        Happening::Contradiction => {
            "the client sent bytes again, and others than before".to_owned()
        }
        Happening::EventsLost { number } => {
            format!("{number} events lost: the ring buffer was full")
        }
        Happening::Gap => "control bytes lost; on from the next line".to_owned(),
        Happening::Rewound => "TCP threw away commands that were read already".to_owned(),
        Happening::InterfaceGone { name } => format!("{name} is gone"),
        Happening::InterfaceAttached { name, mode } => {
            format!("{name}: attached in {} mode", mode.name())
        }
        Happening::InterfaceRenamed { from, to } => {
            format!("{from} is called {to} now, and stays protected")
        }
        Happening::InterfaceUnprotected { name, error } => {
            format!("{name} is there and NOT protected: {error}")
        }
        Happening::InterfaceDetached { name } => {
            format!("{name}: detached, no longer asked for")
        }
        Happening::Reloaded { changes } => format!("reloaded: {changes}"),
        Happening::ReloadFailed { error } => {
            format!("not reloaded, everything stays as it was: {error}")
        }
    }
}

/// An address with a port, in the usual notation.
#[must_use]
pub fn socket(address: Address, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(address), port)
}

/// `RETR "a.txt", download of 12 MB in 2 s (6.0 MB/s), complete`.
fn transferred(transfer: &Transfer) -> String {
    let mut text = transfer.command.unwrap_or("a transfer").to_owned();
    if let Some(path) = &transfer.path {
        text.push_str(&format!(" \"{path}\""));
    }
    if let Some(direction) = transfer.direction {
        text.push_str(&format!(", {}", direction.name()));
    }
    if let Some(number) = transfer.bytes {
        text.push_str(&format!(" of {}", bytes(number)));
    }
    if let Some(ms) = transfer.duration_ms {
        text.push_str(&format!(" in {}", duration(ms)));
    }
    if let Some(rate) = transfer.rate() {
        text.push_str(&format!(" ({}/s)", bytes(rate)));
    }
    text.push_str(&format!(", {}", transfer.ending.name()));
    text
}

/// What is allowed by a tuple with this `port`: `10.0.0.1:50001 for 10.0.0.2`.
fn allowed(key: &SessionKey, mode: Mode, port: u16) -> String {
    match mode {
        Mode::Active => format!("{} for {}, active", socket(key.client, port), key.server),
        Mode::Manual => format!("{} for {}, manual", socket(key.server, port), key.client),
        _ => format!("{} for {}", socket(key.server, port), key.client),
    }
}

fn opened(key: &SessionKey, adopted: bool) -> String {
    let how = if adopted { " (met in the middle)" } else { "" };
    format!(
        "{} connected to {}{how}",
        socket(key.client, key.client_port),
        socket(key.server, key.server_port)
    )
}

fn closed(age_ms: u64, transfers: u64) -> String {
    let plural = if transfers == 1 { "" } else { "s" };
    format!(
        "closed after {}, {} transfer{plural}",
        duration(age_ms),
        count(transfers)
    )
}

/// Who dialled whom; `key` names both ports of the data connection.
fn data_connection(key: &SessionKey, mode: Mode) -> String {
    let client = socket(key.client, key.client_port);
    let server = socket(key.server, key.server_port);
    match mode {
        Mode::Active => format!("{client} by {server}, active"),
        _ => format!("{server} by {client}"),
    }
}

/// `line` is escaped.
fn refused(refusal: Refusal, line: Option<&str>) -> String {
    match line {
        Some(line) => format!("refused ({}): \"{line}\"", refusal.name()),
        None => format!("refused ({})", refusal.name()),
    }
}

#[cfg(test)]
mod tests {
    use ftpfw_common::{abi::event::Cause, reason::Negotiation};

    use super::*;

    fn said(session: u64, what: Happening) -> String {
        let key = SessionKey {
            client: Address::v4([10, 0, 0, 2]),
            server: Address::v4([10, 0, 0, 1]),
            client_port: 40_000,
            server_port: 21,
        };
        sentence(&Event {
            session,
            key: Some(key),
            what,
        })
    }

    /// The log has said it like this from the first day: somebody searches it for these words.
    #[test]
    fn sentences() {
        let (mode, port) = (Mode::Passive, 50_001);
        let (refusal, line) = (Refusal::Bounce, Some("PORT 1,2,3,4,0,25".to_owned()));
        for (what, sentence) in [
            (
                Happening::Opened { adopted: true },
                "10.0.0.2:40000 connected to 10.0.0.1:21 (met in the middle)",
            ),
            (
                Happening::LoggedIn { user: None },
                "logged in as somebody whose USER was not seen",
            ),
            (Happening::Plain, "plain text again from here on"),
            (
                Happening::Armed {
                    mode,
                    port,
                    by: Some(Negotiation::Epsv),
                },
                "armed 10.0.0.1:50001 for 10.0.0.2",
            ),
            (
                Happening::Armed {
                    mode: Mode::Manual,
                    port,
                    by: None,
                },
                "armed 10.0.0.1:50001 for 10.0.0.2, manual",
            ),
            (
                Happening::Withdrawn {
                    mode: Mode::Active,
                    port,
                    cause: Cause::Expired,
                },
                "withdrawn 10.0.0.2:50001 for 10.0.0.1, active (expired)",
            ),
            (
                Happening::Claimed { mode },
                "claimed 10.0.0.1:21 by 10.0.0.2:40000",
            ),
            (
                Happening::Refused { refusal, line },
                "refused (bounce): \"PORT 1,2,3,4,0,25\"",
            ),
            (
                Happening::Contradiction,
                "the client sent bytes again, and others than before",
            ),
            (
                Happening::Closed {
                    age_ms: 2000,
                    transfers: 1,
                },
                "closed after 2 s, 1 transfer",
            ),
        ] {
            assert_eq!(said(7, what), format!("session 7: {sentence}"));
        }
        assert_eq!(
            said(0, Happening::BounceOut),
            "dropped a connection from the FTP data port to 10.0.0.2:40000, which no session named"
        );
    }
}
