//! The maps. Their layouts and meaning are in `ftpfw_common::abi`.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use ftpfw_common::{
    abi::{
        clients,
        event::{Direction, EventHeader, PAYLOAD_CHUNK},
        idle,
        keys::{EntitledKey, FlowKey, ListenerKey, PairKey, SessionKey, TupleKey},
        nics::Standing,
        policy::Settings,
        values::{Entitled, Flow, Listener, PortEntry, Session, Tuple},
    },
    packet::Tcp,
    reason::{Counter, Nic},
};

const PORT_COUNT: u32 = 1 << 16;
/// The agent may load the maps with other sizes.
const TUPLES: u32 = 1 << 16;
const SESSION_COUNT: u32 = 1 << 16;
const FLOW_COUNT: u32 = 1 << 16;
const LISTENER_COUNT: u32 = 1 << 14;
const PROCESS_COUNT: u32 = 1 << 15;
const DAEMON_COUNT: u32 = 1 << 8;
const EVENT_BYTES: u32 = 1 << 22;

#[map]
pub static PORTS: Array<PortEntry> = Array::with_max_entries(PORT_COUNT, BPF_F_MMAPABLE);
#[map]
pub static ARMED: HashMap<TupleKey, Tuple> = HashMap::with_max_entries(TUPLES, 0);
#[map]
pub static CLAIMED: HashMap<TupleKey, Tuple> = HashMap::with_max_entries(TUPLES, 0);
#[map]
pub static LAST_ARMED: Array<TupleKey> = Array::with_max_entries(PORT_COUNT, 0);
#[map]
pub static SESSIONS: HashMap<SessionKey, Stored> = HashMap::with_max_entries(SESSION_COUNT, 0);
#[map]
pub static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOW_COUNT, 0);
#[map]
pub static FLOW_PORTS: Array<u32> = Array::with_max_entries(PORT_COUNT, BPF_F_MMAPABLE);
#[map]
pub static IDLE: Array<u64> = Array::with_max_entries(idle::WORDS, BPF_F_MMAPABLE);
#[map]
pub static OPAQUE: HashMap<PairKey, u64> = HashMap::with_max_entries(SESSION_COUNT, 0);
#[map]
pub static ENTITLED: HashMap<EntitledKey, Entitled> = HashMap::with_max_entries(SESSION_COUNT, 0);
#[map]
pub static LISTENERS: HashMap<ListenerKey, Listener> = HashMap::with_max_entries(LISTENER_COUNT, 0);
#[map]
pub static PROCESSES: HashMap<u32, u32> = HashMap::with_max_entries(PROCESS_COUNT, 0);
#[map]
pub static CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(DAEMON_COUNT, 0);
#[map]
pub static DAEMONS: HashMap<u32, u32> = HashMap::with_max_entries(DAEMON_COUNT, 0);
#[map]
pub static CLIENTS: Array<u64> = Array::with_max_entries(clients::PLACES, BPF_F_MMAPABLE);
#[map]
pub static NICS: Array<u32> = Array::with_max_entries(1 << 16, 0);
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);
#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
pub static LAST_SESSION: Array<u64> = Array::with_max_entries(1, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_BYTES, 0);

/// A session in a map.
#[repr(transparent)]
pub struct Stored(Session);

// SAFETY: never reached through the static, only by the raw pointers of map look-ups; whoever follows
// one says which part of the session it may touch.
unsafe impl Sync for Stored {}

/// The session of a control connection.
#[inline(always)]
pub fn session(key: &SessionKey) -> Option<*mut Session> {
    SESSIONS.get_ptr_mut(key).map(<*mut Stored>::cast)
}

/// The segment under way: what is too large for the stack.
#[repr(C)]
pub struct Record {
    /// Goes to the agent, with the payload behind it.
    pub header: EventHeader,
    pub payload: [u8; PAYLOAD_CHUNK],
    /// Stays here, as what follows.
    pub segment: Tcp,
    /// 1: the payload begins with a greeting.
    pub greets: u32,
}

/// One for each direction: egress runs in the context of a process, and with bottom halves off, so
/// neither is interrupted by its own kind.
#[map]
pub static RECORDS: PerCpuArray<Record> = PerCpuArray::with_max_entries(2, 0);
/// This CPU's record of `direction`.
#[inline(always)]
pub fn record(direction: Direction) -> Option<*mut Record> {
    RECORDS.get_ptr_mut(direction as u32)
}

/// Room to build a session before it becomes visible. Index as for [`RECORDS`].
#[map]
pub static NEW_SESSION: PerCpuArray<Stored> = PerCpuArray::with_max_entries(2, 0);

/// Which counters an interface has that programs are attached to.
#[inline(always)]
pub fn nic(interface: u32) -> Nic {
    Nic(nics(interface))
}

/// How an interface stands to protected ones.
#[inline(always)]
pub fn standing(interface: u32) -> Standing {
    Standing::from_u32(nics(interface))
}

#[inline(always)]
fn nics(interface: u32) -> u32 {
    NICS.get(interface & 0xffff).copied().unwrap_or(0)
}

/// The policy; `None` cannot happen (the map has its one entry from the start).
#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// What the first program on `inet_sock_set_state` told last on this CPU; 0 while it is at work.
#[map]
pub static TOLD: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The tick in which this CPU woke the agent last; see `events`.
#[map]
pub static WOKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
