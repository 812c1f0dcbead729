//! What maps and agent say at one moment.

use std::{collections::HashMap, time::Duration};

use jiff::Zoned;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    cli::Place,
    kernel::clock,
    query::{
        self,
        client::Agent,
        model::{AgentRow, PolicyRow, RunningRow, SessionRow, Stats, TupleRow},
        read,
        transfers::transfers,
    },
};

/// How long the agent may take. One that is stopped never answers, and the maps are there without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What only the agent knows.
struct Told {
    agent: AgentRow,
    sessions: Vec<SessionRow>,
    transfers: Vec<RunningRow>,
}

/// A data connection that is established.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) row: RunningRow,
    /// Bytes a second since the look before, if it was there then.
    pub(super) rate: Option<u64>,
}

/// Everything that is shown, as it was at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// When, by the clock of the maps.
    pub(super) at_ms: u64,
    /// When, by that of the host: `14:02:11`.
    pub(super) clock: String,
    /// The agent, or in one sentence what is not known without it.
    pub(super) agent: Result<AgentRow, String>,
    pub(super) policy: PolicyRow,
    pub(super) sessions: Vec<SessionRow>,
    /// Data connections that are established.
    pub(super) transfers: Vec<Transfer>,
    /// Those that are allowed and not made yet.
    pub(super) tuples: Vec<TupleRow>,
    pub(super) stats: Stats,
}

impl Look {
    /// Looks.
    ///
    /// # Errors
    ///
    /// When nothing is attached, or may not be looked at.
    pub(super) async fn take(place: &Place) -> anyhow::Result<Self> {
        let told = ask(place).await;
        // Opened anew each time: who detaches and starts again makes new maps.
        let (maps, pins) = query::open(place)?;
        let (agent, sessions, transfers) = match told {
            Ok(told) => (Ok(told.agent), told.sessions, told.transfers),
            Err(missing) => (
                Err(missing),
                read::sessions(&maps)?.collect::<Result<_, _>>()?,
                transfers(&maps, &HashMap::new()).await?,
            ),
        };
        let transfers = transfers.into_iter();
        let transfers = transfers.map(|row| Transfer { row, rate: None });
        Ok(Self {
            at_ms: clock::now() / 1_000_000,
            clock: Zoned::now().strftime("%T").to_string(),
            agent,
            policy: query::policy(&maps)?,
            sessions,
            transfers: transfers.collect(),
            tuples: read::armed(&maps)?.collect::<Result<_, _>>()?,
            stats: read::stats(&maps, &pins, None)?,
        })
    }
}

/// Looks every `seconds` and sends what is seen, until an error was sent or nobody receives.
pub(super) async fn again(place: Place, seconds: u32, sender: mpsc::Sender<anyhow::Result<Look>>) {
    let mut ticks = interval(Duration::from_secs(seconds.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and the first look is there already.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let look = Look::take(&place).await;
        let failed = look.is_err();
        if sender.send(look).await.is_err() || failed {
            return;
        }
    }
}

/// Asks the agent; or says what is not known without it.
async fn ask(place: &Place) -> Result<Told, String> {
    let asked = async {
        let Some(mut agent) = Agent::connect(&place.socket).await? else {
            return Ok(None);
        };
        anyhow::Ok(Some(Told {
            agent: agent.get("/agent").await?,
            sessions: agent.get("/sessions").await?,
            transfers: agent.get("/transfers").await?,
        }))
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Some(told))) => Ok(told),
        Ok(Ok(None)) => Err("no agent: users, commands and progress are not known".to_owned()),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_elapsed) => {
            Err("no answer of the agent: users, commands, progress not known".to_owned())
        }
    }
}
