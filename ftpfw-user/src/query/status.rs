//! `ftpfw status`.

use ftpfw_common::{
    abi::policy::{Settings, ftps},
    reason::{Counter, Loss},
};

use super::{
    client,
    model::{AgentRow, PolicyRow, Status},
    open, read, show, table,
};
use crate::{
    cli::QueryArgs,
    kernel::{Maps, PinDir},
};

/// `ftpfw status`.
///
/// # Errors
///
/// When nothing is attached, or may not be looked at.
pub async fn status(args: &QueryArgs) -> anyhow::Result<()> {
    let (maps, pins) = open(&args.place)?;
    let agent: Option<AgentRow> = client::get(&args.place.socket, "/agent").await?;
    show(&summary(&maps, &pins, agent)?, args.json, table::status)
}

/// What `ftpfw status` says.
///
/// # Errors
///
/// Those of the maps.
pub fn summary(maps: &Maps, pins: &PinDir, agent: Option<AgentRow>) -> anyhow::Result<Status> {
    let (mut armed, mut claimed) = (0, 0);
    for row in read::tuples(maps)? {
        match row?.state.as_str() {
            "armed" => armed += 1,
            _ => claimed += 1,
        }
    }
    let counters = maps.counters()?;
    let (passed, dropped) = read::totals(&counters);
    Ok(Status {
        agent,
        interfaces: read::interfaces(maps, pins)?,
        policy: policy(maps)?,
        sessions: number(maps.session_entries()?)?,
        armed,
        claimed,
        flows: number(read::flows(maps)?)?,
        listeners: number(read::listeners(maps)?)?,
        passed,
        dropped,
        events_lost: counters.get(Counter::Lost(Loss::EventsLost)),
    })
}

fn number<T>(mut entries: impl Iterator<Item = anyhow::Result<T>>) -> anyhow::Result<usize> {
    entries.try_fold(0, |number, entry| entry.map(|_| number + 1))
}

/// What the programs were told.
///
/// # Errors
///
/// Those of the maps.
pub(crate) fn policy(maps: &Maps) -> anyhow::Result<PolicyRow> {
    let settings: Settings = maps.settings()?.get(&0, 0)?.0;
    Ok(PolicyRow {
        opener: match settings.inline_opener {
            0 => "agent",
            _ => "inline",
        },
        ftps: match settings.ftps {
            ftps::LISTENER => "listener",
            ftps::RANGE => "range",
            _ => "deny",
        },
        dry_run: settings.dry_run != 0,
        control_ports: maps.ports()?.control(),
        tuple_lifetime_ms: settings.tuple_lifetime / 1_000_000,
    })
}
