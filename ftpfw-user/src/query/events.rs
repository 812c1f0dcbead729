//! `ftpfw events`: the agent's journal, and with `--follow` what is added to it.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    ops::ControlFlow,
    path::Path,
    time::Duration,
};

use anyhow::bail;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    client::{self, Agent},
    journal::{Batch, EventRow},
    output::nobody_reads,
    read,
};
use crate::cli::EventsArgs;

/// How long a question waits for the next event before it is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// `ftpfw events`.
///
/// # Errors
///
/// When no agent runs, or the one that is followed ends.
pub async fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let socket = &args.query.place.socket;
    let Some(agent) = Agent::connect(socket).await? else {
        bail!(
            "events come from a running agent, and none answers on {}: start `ftpfw run`",
            socket.display()
        );
    };
    let mut reader = Reader::new(agent);
    let wanted = Wanted::new(args);
    tokio::select! {
        result = tell(&mut reader, &wanted, args) => result.map_err(|error| ended(error, socket)),
        () = nobody_reads() => Ok(()),
    }
}

/// What the agent has told of a client, as far as it keeps it; `None` where none runs.
///
/// # Errors
///
/// When it does not answer.
pub(super) async fn of_client(
    socket: &Path,
    client: IpAddr,
) -> anyhow::Result<Option<Vec<EventRow>>> {
    let Some(agent) = Agent::connect(socket).await? else {
        return Ok(None);
    };
    let wanted = Wanted {
        since: Timestamp::MIN,
        client: Some(client),
    };
    Reader::new(agent).backlog(&wanted).await.map(Some)
}

async fn tell(reader: &mut Reader, wanted: &Wanted, args: &EventsArgs) -> anyhow::Result<()> {
    let mut rows = reader.backlog(wanted).await?;
    if let Some(limit) = args.limit {
        rows.drain(..rows.len().saturating_sub(limit));
    }
    while print(&rows, args.query.json)?.is_continue() && args.follow {
        rows = reader.newer(PATIENCE).await?.events;
        rows.retain(|row| wanted.is(row));
    }
    Ok(())
}

fn ended(error: anyhow::Error, socket: &Path) -> anyhow::Error {
    if client::has_ended(&error) {
        return anyhow::anyhow!("the agent at {} has ended", socket.display());
    }
    error
}

/// Reads the journal from its beginning on.
#[derive(Debug)]
struct Reader {
    agent: Agent,
    /// The number of the last event read; `None` before the first answer.
    after: Option<u64>,
}

impl Reader {
    const fn new(agent: Agent) -> Self {
        Self { agent, after: None }
    }

    /// What has happened already.
    async fn backlog(&mut self, wanted: &Wanted) -> anyhow::Result<Vec<EventRow>> {
        let mut rows = Vec::new();
        let first = self.newer(Duration::ZERO).await?;
        let until = first.newest;
        let mut events = first.events;
        loop {
            rows.extend(events.into_iter().filter(|row| wanted.is(row)));
            if self.after >= Some(until) {
                return Ok(rows);
            }
            events = self.newer(Duration::ZERO).await?.events;
        }
    }

    /// What comes next; nothing, if nothing does for `patience`. Events that the agent has forgotten
    /// since the last answer are reported.
    async fn newer(&mut self, patience: Duration) -> anyhow::Result<Batch> {
        let after = self.after.unwrap_or(0);
        let path = format!("/events?after={after}&wait_ms={}", patience.as_millis());
        let batch: Batch = self.agent.get_after(&path, patience).await?;
        let missed = batch
            .events
            .first()
            .map_or(0, |row| row.number.saturating_sub(after + 1));
        if missed > 0 && self.after.is_some() {
            let plural = if missed == 1 { " was" } else { "s were" };
            // Unlike `eprintln!`, no panic where nobody listens.
            let _unread = writeln!(
                io::stderr(),
                "ftpfw: {missed} event{plural} missed: the agent keeps only the newest"
            );
        }
        self.after = Some(batch.events.last().map_or(after, |row| row.number));
        Ok(batch)
    }
}

/// Which events are asked for.
#[derive(Debug)]
struct Wanted {
    since: Timestamp,
    client: Option<IpAddr>,
}

impl Wanted {
    fn new(args: &EventsArgs) -> Self {
        let since = args
            .since
            .and_then(|age| Timestamp::now().checked_sub(age).ok());
        Self {
            since: since.unwrap_or(Timestamp::MIN),
            client: args.client,
        }
    }

    fn is(&self, row: &EventRow) -> bool {
        let client = match (row.client, self.client) {
            (_, None) => true,
            (Some(client), wanted) => read::is_of(client, wanted),
            (None, Some(_)) => false,
        };
        client && row.time >= self.since
    }
}

/// Prints an event a line. `Break`: nobody reads on, and is content with what it got.
fn print(rows: &[EventRow], json: bool) -> anyhow::Result<ControlFlow<()>> {
    let mut output = io::stdout().lock();
    for row in rows {
        let line = if json {
            serde_json::to_string(row)?
        } else {
            let time = row.time.to_zoned(TimeZone::system());
            format!("{}  {}", time.strftime("%F %T%.3f"), row.text)
        };
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ControlFlow::Break(()));
            }
            written => written?,
        }
    }
    Ok(ControlFlow::Continue(()))
}
