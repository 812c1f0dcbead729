//! What became of a tuple the last time: out of the agent's journal.

use std::net::IpAddr;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::super::journal::EventRow;
use crate::cli::Ends;

/// The last that happened to a tuple.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// From its arming on, in order; none if the agent knows of no such tuple.
    pub events: Vec<EventRow>,
    /// Who is logged in in the session that negotiated it.
    pub user: Option<String>,
    /// What was refused that client on that server since, the last of it.
    pub refused: Option<EventRow>,
}

impl History {
    /// The history of a passive tuple. `told`: all that happened to its client.
    pub fn of(ends: &Ends, told: &[EventRow]) -> Self {
        let events = last_of(ends, told);
        let user = |session: Option<u64>| {
            let logins = told.iter().filter(|it| it.event == "logged-in");
            let login = logins
                .rev()
                .find(|it| it.session.is_some() && it.session == session)?;
            login.user.clone()
        };
        let since = events.first().map_or(0, |event| event.number);
        let refused = told
            .iter()
            .rfind(|it| it.event == "refused" && it.server == Some(canonical(ends.server)))
            .filter(|it| it.number > since);
        Self {
            user: events.first().and_then(|event| user(event.session)),
            refused: refused.cloned(),
            events,
        }
    }

    /// `Last: armed 14:02:11 by 227 in session 12 (alice), claimed 14:02:11, closed 14:02:13.`
    pub fn sentence(&self) -> String {
        let Some(first) = self.events.first() else {
            return "The agent knows of no such tuple.".to_owned();
        };
        let mut said: Vec<_> = self.events.iter().map(phrase).collect();
        said[0] += &match (first.session, &self.user) {
            (Some(session), Some(user)) => format!(" in session {session} ({user})"),
            (Some(session), None) => format!(" in session {session}"),
            (None, _) => String::new(),
        };
        format!("Last: {}.", said.join(", "))
    }

    /// What was refused since, if anything was.
    pub fn refusal(&self) -> Option<String> {
        let refused = self.refused.as_ref()?;
        let session = refused.session.map(|id| format!(" in session {id}"));
        let line = refused.line.as_ref().map(|line| format!(": \"{line}\""));
        Some(format!(
            "Refused {}{} ({}){}.",
            time(refused.time),
            session.unwrap_or_default(),
            refused.reason.as_deref().unwrap_or("unknown"),
            line.unwrap_or_default()
        ))
    }
}

/// Addresses in the journal are canonical.
const fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The last arming of a tuple and what became of it; the end of an earlier connection of the same tuple
/// is not part of it.
fn last_of(ends: &Ends, told: &[EventRow]) -> Vec<EventRow> {
    let about: Vec<_> = told.iter().filter(|it| is_about(ends, it)).collect();
    let begins = |event: &str| about.iter().rposition(|it| it.event == event);
    // A listener of the FTP daemon's is never armed, only claimed.
    let Some(start) = begins("armed").or_else(|| begins("claimed")) else {
        return about
            .last()
            .map(|&event| event.clone())
            .into_iter()
            .collect();
    };
    let mut episode: Vec<EventRow> = Vec::new();
    for event in &about[start..] {
        let connection = episode.iter().find(|it| it.event == "claimed");
        let belongs = match event.event.as_str() {
            "finished" => connection.is_some_and(|it| it.client_port == event.client_port),
            "claimed" => connection.is_none(),
            _ => true,
        };
        if belongs {
            episode.push((*event).clone());
        }
    }
    episode
}

fn is_about(ends: &Ends, event: &EventRow) -> bool {
    let kinds = ["armed", "claimed", "finished", "withdrawn"];
    kinds.contains(&event.event.as_str())
        && event.mode.as_deref() != Some("active")
        && event.port == Some(ends.port)
        && event.client == Some(canonical(ends.client))
        && event.server == Some(canonical(ends.server))
}

fn phrase(event: &EventRow) -> String {
    let at = time(event.time);
    match (event.event.as_str(), event.mode.as_deref()) {
        ("armed", Some("manual")) => format!("armed {at} by `ftpfw allow`"),
        ("armed", _) => match reply(event.by.as_deref()) {
            Some(reply) => format!("armed {at} by {reply}"),
            None => format!("armed {at}"),
        },
        ("finished", _) => format!("closed {at}"),
        ("withdrawn", _) => {
            let cause = event.reason.as_deref().unwrap_or("unknown");
            format!("withdrawn {at} ({cause})")
        }
        (other, _) => format!("{other} {at}"),
    }
}

/// The reply that concludes a negotiation (RFC 959 §4.2.1, RFC 2428 §3, RFC 1639).
fn reply(by: Option<&str>) -> Option<&'static str> {
    match by? {
        "pasv" | "spsv" => Some("227"),
        "epsv" => Some("229"),
        "lpsv" => Some("228"),
        _ => None,
    }
}

/// The time of day here, and the day if it is not today.
fn time(at: Timestamp) -> String {
    let zone = TimeZone::system();
    let (at, now) = (at.to_zoned(zone.clone()), Timestamp::now().to_zoned(zone));
    let format = if at.date() == now.date() {
        "%T"
    } else {
        "%F %T"
    };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        client: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
        server: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        port: 50_001,
    };

    /// Events, numbered from 1 on: kind, client's port, cause or user.
    fn told(events: &[(&str, Option<u16>, Option<&str>)]) -> Vec<EventRow> {
        let row =
            |(number, (event, client_port, detail)): (u64, &(&str, Option<u16>, Option<&str>))| {
                EventRow {
                    number,
                    time: "2020-01-02T14:02:11Z".parse().unwrap(),
                    event: (*event).to_owned(),
                    session: Some(12),
                    client: Some(ENDS.client),
                    client_port: *client_port,
                    server: Some(ENDS.server),
                    server_port: None,
                    port: (*event != "logged-in" && *event != "refused").then_some(ENDS.port),
                    mode: Some("passive".to_owned()),
                    by: (*event == "armed").then(|| "pasv".to_owned()),
                    reason: detail.map(str::to_owned),
                    user: detail.map(str::to_owned),
                    line: (*event == "refused").then(|| "227 nonsense".to_owned()),
                    transfer: None,
                    text: String::new(),
                }
            };
        (1..).zip(events).map(row).collect()
    }

    /// The sentence, with T for the time.
    fn sentence(events: &[(&str, Option<u16>, Option<&str>)]) -> String {
        let at = time("2020-01-02T14:02:11Z".parse().unwrap());
        let said = History::of(&ENDS, &told(events)).sentence();
        said.replace(&at, "T")
    }

    #[test]
    fn the_last_time_is_told_from_its_beginning_to_its_end() {
        let (one, other) = (Some(40_000), Some(40_001));
        let login = ("logged-in", None, Some("alice"));
        let armed = ("armed", None, None);
        for (events, said) in [
            (&[][..], "The agent knows of no such tuple."),
            (&[armed], "Last: armed T by 227 in session 12."),
            (
                &[
                    login,
                    armed,
                    ("claimed", one, None),
                    ("finished", one, None),
                ],
                "Last: armed T by 227 in session 12 (alice), claimed T, closed T.",
            ),
            (
                &[armed, ("withdrawn", None, Some("expired"))],
                "Last: armed T by 227 in session 12, withdrawn T (expired).",
            ),
            // The earlier connection ends later.
            (
                &[
                    armed,
                    ("claimed", one, None),
                    armed,
                    ("claimed", other, None),
                    ("finished", one, None),
                ],
                "Last: armed T by 227 in session 12, claimed T.",
            ),
            (
                &[("claimed", one, None), ("finished", one, None)],
                "Last: claimed T in session 12, closed T.",
            ),
        ] {
            assert_eq!(sentence(events), said, "{events:?}");
        }
    }

    #[test]
    fn only_later_refusals_are_told() {
        let (armed, refused) = (("armed", None, None), ("refused", None, Some("bounce")));
        let refusal = |events: [_; 2]| History::of(&ENDS, &told(&events)).refusal();
        assert_eq!(refusal([refused, armed]), None);
        let said = refusal([armed, refused]).unwrap();
        assert!(
            said.contains("in session 12 (bounce): \"227 nonsense\""),
            "{said}"
        );
    }
}
