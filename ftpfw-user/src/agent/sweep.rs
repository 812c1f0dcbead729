//! Making room: tuples that expired untouched, sessions whose end was lost, data connections of
//! daemons behind this host, whose end no socket tells, counts that are at zero.

use std::{sync::Mutex, time::Duration};

use ftpfw_common::{
    abi::{
        event::Cause,
        keys::{FlowKey, TupleKey},
        values::{Mode, Tuple},
    },
    packet::protocol,
};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, warn};

use super::{Shared, event::Event, follow::Follower, interfaces::Interfaces, journal::Journal};
use crate::kernel::{
    Maps, Wire, clock,
    idle::Finder,
    leftovers::Leftovers,
    tuples::{self, TupleMap, Tuples},
};

const PERIOD: Duration = Duration::from_secs(1);
/// Ticks between two looks at all of the kernel's sessions and at their clients.
const SESSIONS_EVERY: u32 = 10;
/// A session this young may be in neither: its record is still in the ring buffer. ns.
const GRACE: u64 = 5_000_000_000;

/// Sweeps for ever. Verdicts never depend on it: the programs check deadlines themselves.
pub(super) async fn sweep(
    shared: &Shared,
    (mut tuples, idle, mut leftovers): (Tuples, Option<Finder>, Leftovers),
    interfaces: &AsyncMutex<Interfaces>,
) {
    let Shared {
        maps,
        journal,
        follower,
        ..
    } = shared;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u32.. {
        ticks.tick().await;
        journal.log_limit().tick();
        collect_expired(&mut tuples, journal);
        mend_counts(&mut tuples);
        if let Some(Err(error)) = idle.as_ref().map(Finder::look) {
            error!("cannot read the map of armed tuples: {error:#}");
        }
        if tick % SESSIONS_EVERY == 0 {
            if let Err(error) = forget_ended(shared, &mut leftovers, interfaces).await {
                error!("cannot collect sessions that have ended: {error:#}");
            }
            if let Err(error) = finish_unfinished(shared, &mut leftovers) {
                error!("cannot collect data connections that are over: {error:#}");
            }
            if let Err(error) = leftovers.collect(maps) {
                error!("cannot collect what clients without sessions left: {error:#}");
            }
        }
        if let Err(error) = finish_silent(maps, follower) {
            error!("cannot read the map of claimed tuples: {error:#}");
        }
    }
}

fn collect_expired(tuples: &mut Tuples, journal: &Journal) {
    match tuples.collect_expired() {
        Ok(expired) => {
            for (key, tuple) in expired {
                let event = Event::withdrawn(&key, &tuple, Cause::Expired);
                journal.tell(clock::now(), event);
            }
        }
        Err(error) => error!("cannot collect expired tuples: {error}"),
    }
}

fn mend_counts(tuples: &mut Tuples) {
    match tuples.mend_counts() {
        Ok(mended) if mended.is_empty() => {}
        Ok(mended) => warn!("the counts of armed tuples of the ports {mended:?} were too high"),
        Err(error) => error!("cannot count the armed tuples: {error}"),
    }
}

/// Has the kernel forget the sessions that ended without a word, and the agent those that the kernel has
/// forgotten.
async fn forget_ended(
    shared: &Shared,
    leftovers: &mut Leftovers,
    interfaces: &AsyncMutex<Interfaces>,
) -> anyhow::Result<()> {
    let maps = &shared.maps;
    let before = clock::now().saturating_sub(GRACE);
    let sessions = maps.sessions()?;
    let live = sessions.iter().map(|(_, session)| session.id).collect();
    {
        let mut follower = super::lock(&shared.follower);
        follower.retain_live(&live, before);
        follower.catch_up();
    }
    for key in leftovers.ended(&sessions)? {
        interfaces.lock().await.kernel.forget(&key)?;
    }
    Ok(())
}

/// A claimed tuple of a daemon behind this host lives as long as its flow.
fn finish_silent(maps: &Maps, follower: &Mutex<Follower>) -> anyhow::Result<()> {
    let (mut claimed, flows) = (maps.claimed()?, maps.flows()?);
    let now = clock::now();
    for (key, tuple) in tuples::entries(&claimed)? {
        if tuple.forwarded == 0 {
            continue;
        }
        let flow = FlowKey {
            remote: key.client,
            local: key.server,
            remote_port: key.client_port,
            local_port: key.server_port,
            protocol: u32::from(protocol::TCP),
        };
        if flows.get(&Wire(flow), 0).is_ok_and(|it| it.0.until > now) {
            continue;
        }
        finish(&mut claimed, follower, &key, &tuple);
    }
    Ok(())
}

/// A claimed tuple of a daemon of this host lives as long as its socket, which tells its end; should that have
/// been missed, it ends here.
fn finish_unfinished(shared: &Shared, leftovers: &mut Leftovers) -> anyhow::Result<()> {
    let mut claimed = shared.maps.claimed()?;
    let all = tuples::entries(&claimed)?;
    for key in leftovers.unfinished(&all)? {
        if let Some((_, tuple)) = all.iter().find(|(other, _)| *other == key) {
            finish(&mut claimed, &shared.follower, &key, tuple);
        }
    }
    Ok(())
}

fn finish(claimed: &mut TupleMap, follower: &Mutex<Follower>, key: &TupleKey, tuple: &Tuple) {
    if claimed.remove(&Wire(*key)).is_ok() {
        let connection = tuples::connection(key);
        let mode = Mode::from_u8(tuple.mode).unwrap_or(Mode::Passive);
        super::lock(follower).finished(tuple.session, &connection, mode, clock::now(), None);
    }
}
