//! The verbs that only look: `status`, `list`, `stats`, `events`.
//!
//! They read the pinned maps themselves, so they work while no agent runs; what only an agent
//! knows (users, commands, what happened) is asked of it.

pub mod client;
mod events;
pub mod journal;
pub mod model;
pub mod read;
mod table;
pub mod units;

use std::io::{self, Write as _};

use anyhow::bail;
use serde::Serialize;

use crate::{
    cli::{ListArgs, Listing, Place, QueryArgs, StatsArgs},
    kernel::{Maps, PinDir, requirements},
};
pub use events::events;
use model::{AgentRow, SessionRow, Status};

/// `ftpfw list`.
///
/// # Errors
///
/// When nothing is attached, or may not be looked at.
pub async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let (maps, _) = open(&args.query.place)?;
    match args.what {
        Listing::Tuples => {
            let mut rows = read::tuples(&maps)?;
            rows.retain(|row| read::is_of(row.client, args.client));
            show(&rows, args.query.json, |rows| table::tuples(rows))
        }
        Listing::Sessions => {
            let mut rows = sessions(&args.query.place, &maps).await?;
            rows.retain(|row| read::is_of(row.client, args.client));
            show(&rows, args.query.json, |rows| table::sessions(rows))
        }
        Listing::Listeners => {
            let mut rows = read::listeners(&maps)?;
            rows.retain(|row| row.client.is_none_or(|it| read::is_of(it, args.client)));
            show(&rows, args.query.json, |rows| table::listeners(rows))
        }
    }
}

/// From the agent, which knows users and commands; without one, what the kernel knows.
async fn sessions(place: &Place, maps: &Maps) -> anyhow::Result<Vec<SessionRow>> {
    match client::get(&place.socket, "/sessions").await? {
        Some(rows) => Ok(rows),
        None => read::sessions(maps),
    }
}

/// `ftpfw stats`.
///
/// # Errors
///
/// As [`list`].
pub fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let (maps, pins) = open(&args.query.place)?;
    let stats = read::stats(&maps, &pins, args.interface.as_deref())?;
    show(&stats, args.query.json, table::stats)
}

/// `ftpfw status`.
///
/// # Errors
///
/// As [`list`].
pub async fn status(args: &QueryArgs) -> anyhow::Result<()> {
    let agent: Option<AgentRow> = client::get(&args.place.socket, "/agent").await?;
    let (maps, pins) = open(&args.place)?;
    show(&summary(&maps, &pins, agent)?, args.json, table::status)
}

/// What `ftpfw status` says.
///
/// # Errors
///
/// Those of the maps.
pub fn summary(maps: &Maps, pins: &PinDir, agent: Option<AgentRow>) -> anyhow::Result<Status> {
    let tuples = read::tuples(maps)?;
    let armed = tuples.iter().filter(|row| row.state == "armed").count();
    let (passed, dropped) = read::totals(&maps.counters()?);
    Ok(Status {
        agent,
        interfaces: read::interfaces(maps, pins)?,
        sessions: maps.sessions()?.len(),
        armed,
        claimed: tuples.len() - armed,
        passed,
        dropped,
    })
}

fn open(place: &Place) -> anyhow::Result<(Maps, PinDir)> {
    let pins = PinDir::new(place.pin_dir.clone());
    requirements::privileges()?;
    if !pins.in_use() {
        bail!(
            "ftpfw is not attached: nothing is pinned under {}",
            place.pin_dir.display()
        );
    }
    Ok((Maps::open(&pins)?, pins))
}

/// Prints JSON or a table. A reader that goes away early (`| head`) is content with what it got.
pub(crate) fn show<T: Serialize + ?Sized>(
    value: &T,
    json: bool,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(value)?
    } else {
        table(value)
    };
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
