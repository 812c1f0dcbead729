//! The agent: follows what the programs tell, keeps house in the maps, answers questions.

mod agreement;
pub mod api;
mod catch_up;
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
use tracing::warn;

use crate::{
    kernel::{
        Kernel, Maps, PinDir, Programs, Turned, clock, clock::ms_between, leftovers::Leftovers,
        maps::CounterMap,
    },
    query::model::AgentRow,
    service,
};
use api::{MetricsSocket, Socket};
use catch_up::{Asked, CatchUp};
use daemons::Daemons;
use event::{Event, Happening};
use follow::Follower;
use foreign::Foreign;
use interfaces::Interfaces;
use journal::Journal;
use log_limit::LogLimit;
use opener::Opener;
use reload::Reloader;
use stream::{EventStream, Record};
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
    catch_up: CatchUp,
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
    asked: Asked,
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
        kernel: &mut Kernel,
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
                Turned::new(kernel)?,
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
        let (catch_up, asked) = catch_up::channel();
        let shared = Shared {
            maps: Maps::open(pins)?,
            pins: pins.clone(),
            settings: Mutex::new(settings),
            started_at: clock::now(),
            journal,
            follower: Mutex::new(follower),
            catch_up,
        };
        let events = EventStream::new(kernel.maps().events()?)?;
        Ok(Self {
            shared: Arc::new(shared),
            events,
            asked,
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
        if let Err(error) = leftovers.sees_connections() {
            warn!("{error}; what ends without being seen is not collected: `ftpfw check`");
        }
        // Early programs ask for no idle places, and do not tell when one is busy.
        let idle = match interfaces.kernel.programs() {
            Programs::Full => Some(shared.maps.idle_finder()?),
            Programs::Early => None,
        };
        let swept = (shared.maps.tuples()?, idle, leftovers);
        let interfaces = AsyncMutex::new(interfaces);
        // All of it is one task: what is stuck in one branch keeps the watchdog waiting.
        tokio::select! {
            result = follow(&shared, &mut self.events, &mut self.asked) => result,
            result = self.socket.serve(Arc::clone(&shared)) => Ok(result?),
            result = self.metrics.serve(Arc::clone(&shared)) => Ok(result?),
            () = sweep::sweep(&shared, swept, &interfaces) => Ok(()),
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

/// Batches taken before an answer: what the ring buffer holds when it is full of the smallest records.
const BACKLOG: usize = 128;

/// Takes events for ever.
async fn follow(
    shared: &Shared,
    events: &mut EventStream,
    asked: &mut Asked,
) -> anyhow::Result<()> {
    let mut taker = Taker::new(shared)?;
    loop {
        tokio::select! {
            records = events.batch() => taker.take(&records?)?,
            Some(waiting) = asked.next() => {
                for _ in 0..BACKLOG {
                    let records = events.ready();
                    if records.is_empty() {
                        break;
                    }
                    taker.take(&records)?;
                    tokio::task::yield_now().await;
                }
                let _asks_no_more = waiting.send(());
            }
        }
        // A flood of events must not keep the socket and the signals waiting.
        tokio::task::yield_now().await;
    }
}

/// Takes records, and notices when some were lost.
struct Taker<'a> {
    shared: &'a Shared,
    counters: CounterMap,
    lost: u64,
}

impl<'a> Taker<'a> {
    fn new(shared: &'a Shared) -> anyhow::Result<Self> {
        let counters = shared.maps.counter_map()?;
        let lost = counters.get(Counter::Lost(Loss::EventsLost))?;
        Ok(Self {
            shared,
            counters,
            lost,
        })
    }

    fn take(&mut self, records: &[Record]) -> anyhow::Result<()> {
        let before = self.lost;
        self.lost = self.counters.get(Counter::Lost(Loss::EventsLost))?;
        let number = self.lost.saturating_sub(before);
        if number > 0 {
            let event = Event {
                session: 0,
                key: None,
                what: Happening::EventsLost { number },
            };
            self.shared.journal.tell(clock::now(), event);
        }
        lock(&self.shared.follower).take(records, number > 0);
        Ok(())
    }
}

/// The lock, poisoned or not: a follower that panicked has still only text to be wrong about.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
