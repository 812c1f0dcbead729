//! The agent: follows what the programs tell, keeps house in the maps, answers questions.

mod agreement;
pub mod api;
mod daemons;
mod event;
mod exchange;
mod follow;
mod foreign;
mod group;
mod history;
mod holders;
pub mod interfaces;
mod journal;
pub(crate) mod lines;
mod log_limit;
mod narrate;
mod opener;
pub mod reload;
mod sessions;
mod stream;
mod sweep;
pub(crate) mod text;
mod transfer;
pub mod transfer_log;

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ftpfw_common::{
    abi::policy::Settings,
    reason::{Counter, Loss},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex as AsyncMutex,
};

use crate::{
    kernel::{Kernel, Maps, PinDir, clock, clock::ms_between, leftovers::Leftovers},
    query::model::AgentRow,
    service,
};
use api::{MetricsSocket, Socket};
use daemons::Daemons;
use event::{Event, Happening};
use follow::Follower;
use foreign::Foreign;
use interfaces::Interfaces;
use journal::Journal;
use log_limit::LogLimit;
use opener::Opener;
use reload::Reloader;
use stream::EventStream;
pub use transfer::{Direction, Running};
use transfer_log::TransferLog;

/// What the agent's tasks share.
#[derive(Debug)]
struct Shared {
    maps: Maps,
    pins: PinDir,
    settings: Mutex<Settings>,
    /// ns of `CLOCK_MONOTONIC`.
    started_at: u64,
    journal: Arc<Journal>,
    follower: Mutex<Follower>,
}

impl Shared {
    fn row(&self) -> AgentRow {
        let settings = *lock(&self.settings);
        let opener = if settings.inline_opener != 0 {
            "inline"
        } else {
            "agent"
        };
        let (disagreements, contradictions) = {
            let follower = lock(&self.follower);
            (follower.disagreements(), follower.contradictions())
        };
        AgentRow {
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: ms_between(self.started_at, clock::now()),
            opener: opener.to_owned(),
            dry_run: settings.dry_run != 0,
            disagreements,
            contradictions,
            log_left_out: self.journal.log_limit().left_out(),
        }
    }
}

/// The agent, ready to serve.
pub struct Agent {
    shared: Arc<Shared>,
    events: EventStream,
    socket: Socket,
    metrics: MetricsSocket,
}

impl Agent {
    /// An agent for the programs in `kernel`, which knows the sessions that they follow already. To
    /// be called inside the runtime. `log`: how many lines a second
    /// events write to the log, and where transfers go.
    ///
    /// # Errors
    ///
    /// When a map cannot be read, or the ring buffer not be watched.
    pub fn new(
        kernel: &Kernel,
        pins: &PinDir,
        settings: Settings,
        log: (u32, TransferLog),
        (socket, metrics): (Socket, MetricsSocket),
    ) -> anyhow::Result<Self> {
        let tuples = kernel.maps().tuples()?;
        let opener = match settings.inline_opener {
            0 => Some(Opener::new(
                &settings,
                &tuples.all()?,
                kernel.maps().counter_map()?,
            )),
            _ => None,
        };
        let foreign = Foreign::new(kernel.maps().ports()?);
        let journal = Arc::new(Journal::new(LogLimit::new(log.0), log.1));
        let control = kernel.maps().ports()?.control();
        let daemons = Daemons::new(kernel.maps(), control)?;
        let mut follower = Follower::new(Arc::clone(&journal), tuples, opener, foreign, daemons);
        for (key, session) in kernel.maps().sessions()? {
            follower.take_over(key, &session);
        }
        let shared = Shared {
            maps: Maps::open(pins)?,
            pins: pins.clone(),
            settings: Mutex::new(settings),
            started_at: clock::now(),
            journal,
            follower: Mutex::new(follower),
        };
        let events = EventStream::new(kernel.maps().events()?)?;
        Ok(Self {
            shared: Arc::new(shared),
            events,
            socket,
            metrics,
        })
    }

    /// Serves, looks after the interfaces and reloads, until a signal asks for the end.
    ///
    /// # Errors
    ///
    /// When a part fails that the agent is of no use without.
    pub async fn serve(
        mut self,
        interfaces: Interfaces,
        reloader: &mut Reloader,
        stop: &mut StopSignals,
    ) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let leftovers = Leftovers::new(&shared.maps)?;
        let swept = (shared.maps.tuples()?, shared.maps.idle_finder()?, leftovers);
        let interfaces = AsyncMutex::new(interfaces);
        // All of it is one task: what is stuck in one branch keeps the watchdog waiting.
        tokio::select! {
            result = follow(&shared, &mut self.events) => result,
            result = self.socket.serve(Arc::clone(&shared)) => Ok(result?),
            result = self.metrics.serve(Arc::clone(&shared)) => Ok(result?),
            () = sweep::sweep(&shared.maps, swept, &shared.follower, &shared.journal) => Ok(()),
            result = interfaces::watch(&interfaces, &shared.journal) => result,
            () = reloader.serve(&shared, &interfaces) => Ok(()),
            () = service::watchdog() => Ok(()),
            () = stop.wait() => Ok(()),
        }
    }
}

/// SIGINT and SIGTERM. From the moment this exists they no longer kill: what is half
/// attached is finished first, and then taken back.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Catches them from now on. To be called inside the runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot.
    pub fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one, or returns at once if one came since they are caught.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Takes events for ever.
async fn follow(shared: &Shared, events: &mut EventStream) -> anyhow::Result<()> {
    let counters = shared.maps.counter_map()?;
    let lost = || counters.get(Counter::Lost(Loss::EventsLost));
    let mut lost_before = lost()?;
    loop {
        let records = events.batch().await?;
        let lost_now = lost()?;
        if lost_now > lost_before {
            let event = Event {
                session: 0,
                key: None,
                what: Happening::EventsLost {
                    number: lost_now - lost_before,
                },
            };
            shared.journal.tell(clock::now(), event);
        }
        lock(&shared.follower).take(&records, lost_now > lost_before);
        lost_before = lost_now;
        // A flood of events must not keep the socket and the signals waiting.
        tokio::task::yield_now().await;
    }
}

/// The lock, poisoned or not: a follower that panicked has still only text to be wrong about.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
