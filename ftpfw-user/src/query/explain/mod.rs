//! `ftpfw explain`: would a SYN pass now, by which rule, and what happened before.

mod history;
mod tables;

use std::{net::IpAddr, process::ExitCode};

use ftpfw_common::{
    abi::{
        keys::TupleKey,
        policy::port as bits,
        values::{Mode, Tuple},
    },
    filter::Tables as _,
    reason::Reason,
};
use serde::Serialize;

use super::{client, events, model::TupleRow, open, read, show, units::duration};
use crate::{
    cli::{Ends, ExplainArgs},
    kernel::clock::ms_between,
};
use history::History;
use tables::PinnedTables;

/// What is said where history has to be left out.
const NO_AGENT: &str = "What happened before, only a running agent knows, and none answers.";

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    client: IpAddr,
    /// `None`: any.
    client_port: Option<u16>,
    server: IpAddr,
    port: u16,
    /// Whether the filter lets it in; see `dry_run`.
    passes: bool,
    /// As in `ftpfw stats`.
    reason: &'static str,
    /// Whether what does not pass is let in all the same.
    dry_run: bool,
    /// The tuple of these ends, armed or expired.
    tuple: Option<TupleRow>,
    /// How many tuples are armed for the port, for anybody.
    armed: u32,
    /// `None` without an agent.
    history: Option<History>,
    /// All of it for people.
    text: String,
}

/// `ftpfw explain`. The code says whether it would pass.
///
/// # Errors
///
/// When nothing is attached, or may not be looked at; [`crate::config::UsageError`] for ends that no
/// connection has.
pub async fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let key = args.ends.tuple()?;
    let place = &args.query.place;
    let (maps, pins) = open(place)?;
    let mut tables = PinnedTables::new(&maps)?;
    // Port 0: the port of no connection, so of none that came before.
    let reason = tables.judge(&args.ends, args.client_port.unwrap_or(0));
    let told = events::of_client(&place.socket, args.ends.client).await;
    let told = client::unless_silent(told)?;
    let history = told.map(|told| History::of(&args.ends, &told));
    let mut text = verdict(&args.ends, &key, &tables, reason);
    if pins.interfaces()?.is_empty() {
        text += " But no interface is attached: nothing is filtered.";
    }
    text += &past(reason, history.as_ref());
    let answer = Answer {
        client: args.ends.client,
        client_port: args.client_port,
        server: args.ends.server,
        port: args.ends.port,
        passes: reason.is_pass(),
        reason: reason.name(),
        dry_run: tables.settings.dry_run != 0,
        tuple: tables
            .tuple(&key)
            .map(|tuple| read::armed_row(&key, &tuple, tables.now)),
        armed: tables.port(args.ends.port).armed(),
        history,
        text,
    };
    show(&answer, args.query.json, |answer| answer.text.clone())?;
    Ok(match answer.passes {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What happened before, where it can matter.
fn past(reason: Reason, history: Option<&History>) -> String {
    if matches!(reason, Reason::Unprotected | Reason::OpenPort) {
        return String::new();
    }
    let Some(history) = history else {
        return format!(" {NO_AGENT}");
    };
    let refusal = history.refusal().filter(|_| !reason.is_pass());
    let refusal = refusal.map(|refusal| format!(" {refusal}"));
    format!(" {}{}", history.sentence(), refusal.unwrap_or_default())
}

fn verdict(ends: &Ends, key: &TupleKey, tables: &PinnedTables, reason: Reason) -> String {
    let because = match reason {
        Reason::Tuple => match tables.tuple(key) {
            Some(tuple) => armed(ends, &tuple, tables.now),
            // Where the first SYN claims.
            None => "it repeats the SYN that claimed its tuple".to_owned(),
        },
        Reason::Expired => match tables.tuple(key) {
            Some(tuple) => {
                let since = duration(ms_between(tuple.until, tables.now));
                format!("the tuple of port {} expired {since} ago", ends.port)
            }
            None => format!("the tuple of port {} has expired", ends.port),
        },
        _ => rule(ends, tables, reason),
    };
    let passes = if reason.is_pass() { "pass" } else { "drop" };
    let dry_run = match (reason.is_pass(), tables.settings.dry_run) {
        (false, 1..) => " (this is a dry run: it gets through all the same)",
        _ => "",
    };
    format!("would {passes}: {because}{dry_run}.")
}

fn armed(ends: &Ends, tuple: &Tuple, now: u64) -> String {
    let left = duration(ms_between(now, tuple.until));
    let by = match (Mode::from_u8(tuple.mode), tuple.session) {
        (Some(Mode::Manual), _) => " by `ftpfw allow`".to_owned(),
        (_, 0) => String::new(),
        (_, session) => format!(" by session {session}"),
    };
    let (port, client) = (ends.port, ends.client);
    format!("port {port} is armed for {client}{by}, and for another {left}")
}

/// The rule behind a verdict that no tuple of these ends has part in.
fn rule(ends: &Ends, tables: &PinnedTables, reason: Reason) -> String {
    let (port, client, server) = (ends.port, ends.client, ends.server);
    let entry = tables.port(port);
    match reason {
        Reason::Unprotected => format!("port {port} is not protected"),
        Reason::OpenPort => format!("the operator opened port {port}"),
        Reason::Listener => format!(
            "the FTP daemon listens on port {port} for clients with encrypted sessions, and \
             {client} has one"
        ),
        Reason::PassiveRange => {
            format!("port {port} is in the passive range, and {client} has an encrypted session")
        }
        Reason::NoTuple => {
            let others = match entry.armed() {
                1 => "an armed tuple".to_owned(),
                number => format!("{number} armed tuples"),
            };
            format!("port {port} has {others}, but none for {client} to {server}")
        }
        Reason::NotArmed => {
            let mut text = format!("port {port} has no armed tuple");
            if entry.listeners() > 0 {
                text += &format!(
                    ", and what the FTP daemon listens on there is not for {client}: it has no \
                     encrypted session that is older"
                );
            }
            if entry.policy() & bits::PASSIVE_RANGE != 0 {
                text += &format!(", and {client} has no encrypted session, for which it is open");
            }
            if entry.policy() & bits::FOREIGN != 0 {
                text += ", nor can it be negotiated: a program that is no FTP daemon listens there";
            }
            text
        }
        other => other.name().to_owned(),
    }
}
