//! The maps by name, from a loaded object or from the pins, and as typed views.

use std::{collections::HashMap, fmt, os::fd::AsFd as _};

use anyhow::Context as _;
use aya::{
    Ebpf, Pod,
    maps::{
        Array, HashMap as BpfHashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf,
    },
};
use ftpfw_common::{
    abi::{
        self,
        keys::{EntitledKey, FlowKey, ListenerKey, PairKey, SessionKey},
        policy::Settings,
        values::{Entitled, Flow, Listener, Session},
    },
    reason::{Counter, Nic},
};

use super::{
    Wire,
    batch::Entries,
    clients::Clients,
    idle::Finder,
    nics::Nics,
    pins::PinDir,
    ports::Ports,
    tuples::{TupleMap, Tuples},
};

/// Keys read from one map at most: an iteration that the programs' deletions send back to the
/// beginning again and again ends here.
pub(super) const ITERATION_LIMIT: usize = 1 << 20;

/// The map of listeners.
pub type ListenerMap = BpfHashMap<MapData, Wire<ListenerKey>, Wire<Listener>>;

/// The map of who has opaque sessions.
pub type EntitledMap = BpfHashMap<MapData, Wire<EntitledKey>, Wire<Entitled>>;

/// The map of how many opaque sessions a client has.
pub type OpaqueMap = BpfHashMap<MapData, Wire<PairKey>, u64>;

/// A map of numbers.
pub type NumberMap = BpfHashMap<MapData, u32, u32>;

/// The map of services.
pub type GroupMap = BpfHashMap<MapData, u64, u32>;

/// The map of flows.
pub type FlowMap = BpfHashMap<MapData, Wire<FlowKey>, Wire<Flow>>;

/// The maps that user space works with.
///
/// Views are typed handles of their own (a duplicated descriptor each), so that the sweeper, the
/// opener and the queries need no lock among themselves: the kernel's own locks are enough.
#[derive(Debug)]
pub struct Maps {
    by_name: HashMap<&'static str, MapData>,
}

/// What is pinned: all that outlives an agent.
pub(super) const PINNED: [&str; 20] = [
    abi::maps::PORTS,
    abi::maps::ARMED,
    abi::maps::CLAIMED,
    abi::maps::LAST_ARMED,
    abi::maps::SESSIONS,
    abi::maps::FLOWS,
    abi::maps::FLOW_PORTS,
    abi::maps::IDLE,
    abi::maps::OPAQUE,
    abi::maps::ENTITLED,
    abi::maps::LISTENERS,
    abi::maps::PROCESSES,
    abi::maps::CGROUPS,
    abi::maps::CLIENTS,
    abi::maps::DAEMONS,
    abi::maps::COUNTERS,
    abi::maps::NICS,
    abi::maps::SETTINGS,
    abi::maps::LAST_SESSION,
    abi::maps::EVENTS,
];

/// What user space reads or writes.
const OPENED: [&str; 19] = [
    abi::maps::PORTS,
    abi::maps::ARMED,
    abi::maps::CLAIMED,
    abi::maps::LAST_ARMED,
    abi::maps::SESSIONS,
    abi::maps::FLOWS,
    abi::maps::FLOW_PORTS,
    abi::maps::IDLE,
    abi::maps::OPAQUE,
    abi::maps::ENTITLED,
    abi::maps::LISTENERS,
    abi::maps::PROCESSES,
    abi::maps::CGROUPS,
    abi::maps::CLIENTS,
    abi::maps::DAEMONS,
    abi::maps::COUNTERS,
    abi::maps::NICS,
    abi::maps::SETTINGS,
    abi::maps::EVENTS,
];

impl Maps {
    /// Opens the maps that are pinned under `pins`, without a loaded object.
    ///
    /// # Errors
    ///
    /// When one is missing or this process may not open it.
    pub fn open(pins: &PinDir) -> anyhow::Result<Self> {
        let open = |name: &'static str| {
            let path = pins.map(name);
            let map = MapData::from_pin(&path)
                .with_context(|| format!("cannot open the map {}", path.display()))?;
            Ok((name, map))
        };
        let by_name = OPENED
            .into_iter()
            .map(open)
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { by_name })
    }

    /// Takes the maps out of a loaded object.
    pub(super) fn take(object: &mut Ebpf) -> anyhow::Result<Self> {
        let take = |name: &'static str| {
            let map = object
                .take_map(name)
                .and_then(map_data)
                .with_context(|| format!("the eBPF object has no map {name}"))?;
            Ok((name, map))
        };
        let by_name = OPENED
            .into_iter()
            .map(take)
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { by_name })
    }

    fn view<V: TryFrom<Map, Error = MapError>>(&self, name: &str) -> anyhow::Result<V> {
        let map = self
            .by_name
            .get(name)
            .with_context(|| format!("map {name} is not open"))?;
        let fd = map.fd().as_fd().try_clone_to_owned()?;
        let map = Map::from_map_data(MapData::from_fd(fd)?)?;
        V::try_from(map).with_context(|| format!("map {name} has another layout than this ftpfw"))
    }

    /// How many entries a map has room for.
    ///
    /// # Errors
    ///
    /// When the map is not open, or the kernel does not tell.
    pub fn size(&self, name: &str) -> anyhow::Result<u32> {
        let map = self.by_name.get(name);
        let map = map.with_context(|| format!("map {name} is not open"))?;
        Ok(map.info()?.max_entries())
    }

    /// `ARMED`, for reading.
    ///
    /// # Errors
    ///
    /// When the map's layout is another one; so with all views.
    pub fn armed(&self) -> anyhow::Result<TupleMap> {
        self.view(abi::maps::ARMED)
    }

    /// `CLAIMED`, for reading.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn claimed(&self) -> anyhow::Result<TupleMap> {
        self.view(abi::maps::CLAIMED)
    }

    /// `ARMED` with its counts, for arming and withdrawing.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`], and [`Self::ports`].
    pub fn tuples(&self) -> anyhow::Result<Tuples> {
        Ok(Tuples::new(
            self.armed()?,
            self.view(abi::maps::LAST_ARMED)?,
            self.ports()?,
            self.clients()?,
        ))
    }

    /// `PORTS`, mapped into memory.
    ///
    /// # Errors
    ///
    /// As [`Ports::new`].
    pub fn ports(&self) -> anyhow::Result<Ports> {
        Ports::new(
            self.by_name[abi::maps::PORTS].fd(),
            self.by_name[abi::maps::IDLE].fd(),
        )
    }

    /// What finds out where nothing can be let in.
    ///
    /// # Errors
    ///
    /// As [`Self::ports`].
    pub fn idle_finder(&self) -> anyhow::Result<Finder> {
        let armed = self.by_name[abi::maps::ARMED].fd().as_fd();
        let armed = MapData::from_fd(armed.try_clone_to_owned()?)?;
        let flows = self.by_name[abi::maps::FLOW_PORTS].fd();
        Finder::new(self.ports()?, flows, armed)
    }

    /// `CLIENTS`, mapped into memory.
    ///
    /// # Errors
    ///
    /// As [`Clients::new`].
    pub fn clients(&self) -> anyhow::Result<Clients> {
        let Wire(settings) = self.settings()?.get(&0, 0)?;
        Clients::new(self.by_name[abi::maps::CLIENTS].fd(), settings.seed)
    }

    /// `SETTINGS`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn settings(&self) -> anyhow::Result<Array<MapData, Wire<Settings>>> {
        self.view(abi::maps::SETTINGS)
    }

    /// `EVENTS`. One reader at a time: what one consumes, no other sees.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn events(&self) -> anyhow::Result<RingBuf<MapData>> {
        self.view(abi::maps::EVENTS)
    }

    pub(super) fn entries<K: Pod, V: Pod>(
        &self,
        name: &'static str,
    ) -> anyhow::Result<Entries<K, V>> {
        Entries::new(&self.by_name[name])
    }

    /// All control connections that the kernel follows.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn sessions(&self) -> anyhow::Result<Vec<(SessionKey, Session)>> {
        self.session_entries()?.collect()
    }

    /// Which interface has which counters.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn nics(&self) -> anyhow::Result<Nics> {
        Ok(Nics::new(
            self.view(abi::maps::NICS)?,
            self.view(abi::maps::COUNTERS)?,
        ))
    }

    /// `LISTENERS`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn listeners(&self) -> anyhow::Result<ListenerMap> {
        self.view(abi::maps::LISTENERS)
    }

    /// `ENTITLED`: how many opaque sessions a client has on which daemon.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn entitled(&self) -> anyhow::Result<EntitledMap> {
        self.view(abi::maps::ENTITLED)
    }

    /// `OPAQUE`: how many opaque sessions a client has; none is as good as no entry.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn opaque(&self) -> anyhow::Result<OpaqueMap> {
        self.view(abi::maps::OPAQUE)
    }

    /// `PROCESSES`: processes of FTP daemons.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn processes(&self) -> anyhow::Result<NumberMap> {
        self.view(abi::maps::PROCESSES)
    }

    /// `CGROUPS`: services of FTP daemons.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn cgroups(&self) -> anyhow::Result<GroupMap> {
        self.view(abi::maps::CGROUPS)
    }

    /// `DAEMONS`: daemons of control ports.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn daemons(&self) -> anyhow::Result<NumberMap> {
        self.view(abi::maps::DAEMONS)
    }

    /// `FLOW_PORTS`: until when there may be flows on each local port.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn flow_ports(&self) -> anyhow::Result<Array<MapData, u32>> {
        self.view(abi::maps::FLOW_PORTS)
    }

    /// `FLOWS`, for reading.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn flows(&self) -> anyhow::Result<FlowMap> {
        self.view(abi::maps::FLOWS)
    }

    /// All counters at this moment.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        let map = self.counter_map()?;
        let values = (0..map.0.len()).map(|index| map.sum(index));
        Ok(Counters(values.collect::<Result<_, MapError>>()?))
    }

    /// `COUNTERS`, for looking at one of them again and again.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn counter_map(&self) -> anyhow::Result<CounterMap> {
        Ok(CounterMap(self.view(abi::maps::COUNTERS)?))
    }
}

/// The map of counters.
pub struct CounterMap(PerCpuArray<MapData, u64>);

impl fmt::Debug for CounterMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterMap").finish_non_exhaustive()
    }
}

impl CounterMap {
    /// One counter that is not counted by interface, summed over CPUs.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn get(&self, counter: Counter) -> Result<u64, MapError> {
        self.sum(counter.index(Nic(0)))
    }

    /// Counts one more of what no program counts: what one counted at the same moment would be lost.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn add_one(&mut self, counter: Counter) -> Result<(), MapError> {
        let index = counter.index(Nic(0));
        let mut counted = self.0.get(&index, 0)?.to_vec();
        // Of which CPU it is does not matter: it is the sum that is read.
        counted[0] += 1;
        self.0.set(index, PerCpuValues::try_from(counted)?, 0)
    }

    fn sum(&self, index: u32) -> Result<u64, MapError> {
        Ok(self.0.get(&index, 0)?.iter().sum())
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counters(Vec<u64>);

impl Counters {
    /// The value of one, over all interfaces.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        let nics = if counter.is_by_nic() { Nic::COUNT } else { 1 };
        (0..nics).map(|nic| self.of(counter, Nic(nic))).sum()
    }

    /// The value of one that is counted by interface.
    #[must_use]
    pub fn of(&self, counter: Counter, nic: Nic) -> u64 {
        self.0
            .get(counter.index(nic) as usize)
            .copied()
            .unwrap_or(0)
    }
}

fn map_data(map: Map) -> Option<MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}
