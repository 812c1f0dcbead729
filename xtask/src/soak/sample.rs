//! What the agent and the maps hold at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use ftpfw_common::abi::{
    keys::{EntitledKey, FlowKey, ListenerKey, PairKey, SessionKey, TupleKey},
    maps,
    values::{Entitled, Flow, Listener, Session, Tuple},
};
use ftpfw_tests::firewall::Firewall;
use serde::Serialize;

use crate::proc::{field, resident};

/// Above the rows.
pub const HEADINGS: &str = "   time    RSS  fds   maps  transfers  sessions  armed claimed  flows opaque entitled listeners processes   lost";

/// One moment.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub seconds: f64,
    /// Resident memory of the agent, KiB.
    pub resident: u64,
    /// Open descriptors of the agent.
    pub descriptors: usize,
    /// Memory of all maps that the agent has open, as the kernel accounts it, KiB.
    pub map_memory: u64,
    /// Entries of each map that has a changing number.
    pub entries: BTreeMap<&'static str, usize>,
    /// Transfers that were completed so far.
    pub transfers: u64,
    /// Records that the ring buffer had no room for.
    pub events_lost: u64,
}

impl Sample {
    /// Looks now.
    ///
    /// # Errors
    /// When the agent has ended, or a map is not there.
    pub fn take(firewall: &Firewall, since: Duration, transfers: u64) -> Result<Self> {
        let process = Path::new("/proc").join(firewall.pid().to_string());
        Ok(Self {
            seconds: since.as_secs_f64(),
            resident: resident(&process)?,
            descriptors: fs::read_dir(process.join("fd"))?.count(),
            map_memory: map_memory(&process)?,
            entries: entries(&firewall.place().pins)?,
            transfers,
            events_lost: firewall.stats()?.events_lost,
        })
    }

    /// As a line of the table.
    pub fn row(&self) -> String {
        let of = |name| self.entries.get(name).copied().unwrap_or(0);
        format!(
            "{:>5.0} s {:>6} {:>4} {:>6} {:>10} {:>9} {:>6} {:>7} {:>6} {:>6} {:>8} {:>9} {:>9} {:>6}",
            self.seconds,
            self.resident,
            self.descriptors,
            self.map_memory,
            self.transfers,
            of(maps::SESSIONS),
            of(maps::ARMED),
            of(maps::CLAIMED),
            of(maps::FLOWS),
            of(maps::OPAQUE),
            of(maps::ENTITLED),
            of(maps::LISTENERS),
            of(maps::PROCESSES),
            self.events_lost,
        )
    }
}

/// Writes them, a line each.
///
/// # Errors
/// Those of the file.
pub fn write(path: &Path, samples: &[Sample]) -> Result<()> {
    let mut file = fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
    for sample in samples {
        writeln!(file, "{}", serde_json::to_string(sample)?)?;
    }
    Ok(())
}

/// `memlock` of every map in the agent's fdinfo, each map once: it has several descriptors.
fn map_memory(process: &Path) -> Result<u64> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(process.join("fdinfo"))? {
        // Closed since the directory was read.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if let (Some(id), Some(bytes)) = (field(&text, "map_id:"), field(&text, "memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum::<u64>() / 1024)
}

fn entries(pins: &Path) -> Result<BTreeMap<&'static str, usize>> {
    const TUPLE: usize = size_of::<TupleKey>();
    let all = [
        (
            maps::SESSIONS,
            count::<{ size_of::<SessionKey>() }, { size_of::<Session>() }>(pins, maps::SESSIONS),
        ),
        (
            maps::ARMED,
            count::<TUPLE, { size_of::<Tuple>() }>(pins, maps::ARMED),
        ),
        (
            maps::CLAIMED,
            count::<TUPLE, { size_of::<Tuple>() }>(pins, maps::CLAIMED),
        ),
        (
            maps::FLOWS,
            count::<{ size_of::<FlowKey>() }, { size_of::<Flow>() }>(pins, maps::FLOWS),
        ),
        (
            maps::OPAQUE,
            count::<{ size_of::<PairKey>() }, 8>(pins, maps::OPAQUE),
        ),
        (
            maps::ENTITLED,
            count::<{ size_of::<EntitledKey>() }, { size_of::<Entitled>() }>(pins, maps::ENTITLED),
        ),
        (
            maps::LISTENERS,
            count::<{ size_of::<ListenerKey>() }, { size_of::<Listener>() }>(pins, maps::LISTENERS),
        ),
        (maps::PROCESSES, count::<4, 4>(pins, maps::PROCESSES)),
    ];
    all.into_iter()
        .map(|(name, count)| Ok((name, count.with_context(|| name.to_owned())?)))
        .collect()
}

/// Entries of a hash map whose keys and values are so long.
fn count<const KEY: usize, const VALUE: usize>(pins: &Path, name: &str) -> Result<usize> {
    let map = Map::from_map_data(MapData::from_pin(pins.join(name))?)?;
    let map: HashMap<_, [u8; KEY], [u8; VALUE]> = map.try_into()?;
    // A key that is gone when the next one is asked for begins anew: an upper bound ends it.
    Ok(map.keys().take(1 << 20).flatten().count())
}
