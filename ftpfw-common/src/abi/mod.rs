//! Layouts shared by the BPF programs and user space: map keys, map values, ring-buffer records.
//!
//! Everything here is `repr(C)` without padding; integers and ports are in **host** byte order,
//! addresses in network order. A change of any layout or meaning takes a new [`VERSION`]: an agent
//! refuses pinned maps of another version (DESIGN §6).

pub mod bench;
pub mod clients;
pub mod event;
pub mod idle;
pub mod kernel;
pub mod keys;
pub mod nics;
pub mod policy;
pub mod values;

/// Version of the layouts below; pinned next to the maps as the first field of [`policy::Settings`].
pub const VERSION: u32 = 5;

/// A time in `FLOW_PORTS` is one of `CLOCK_MONOTONIC`, ns, shifted by so many bits: a unit is a little more
/// than a second.
pub const FLOW_PORTS_SHIFT: u32 = 30;

/// Names of the maps, as pinned under the pin directory.
pub mod maps {
    /// `Array<u32, PortEntry>`, 65,536 entries, mmapable: policy and armed count of each local port.
    pub const PORTS: &str = "PORTS";
    /// `Hash<TupleKey, Tuple>`: data connections allowed and not yet made.
    pub const ARMED: &str = "ARMED";
    /// `Hash<TupleKey, Tuple>`: data connections that are established.
    pub const CLAIMED: &str = "CLAIMED";
    /// `Array<u32, TupleKey>`, 65,536 entries: the passive tuple armed last on each port.
    pub const LAST_ARMED: &str = "LAST_ARMED";
    /// `Hash<SessionKey, Session>`: control connections.
    pub const SESSIONS: &str = "SESSIONS";
    /// `LruHash<FlowKey, Flow>`: flows of no local socket.
    pub const FLOWS: &str = "FLOWS";
    /// `Array<u32, u32>`, 65,536 entries, mmapable: until when there may be flows on a local
    /// port ([`super::FLOW_PORTS_SHIFT`]). An array look-up costs a tenth of one in `FLOWS`, and a flood of segments
    /// of no connection meets ports without flows.
    pub const FLOW_PORTS: &str = "FLOW_PORTS";
    /// `Array<u32, u64>`, [`super::idle::WORDS`] entries, mmapable: where one look is enough.
    pub const IDLE: &str = "IDLE";
    /// `Hash<PairKey, u64>`: number of live opaque sessions of a client on a server address.
    pub const OPAQUE: &str = "OPAQUE";
    /// `Array<u32, u32>`, 65,536 entries: the [`crate::reason::Nic`] of a protected interface, by the
    /// low 16 bits of its index; 0 for any other.
    pub const NICS: &str = "NICS";
    /// `Hash<EntitledKey, Entitled>`: who has an opaque session on which daemon.
    pub const ENTITLED: &str = "ENTITLED";
    /// `Hash<ListenerKey, Listener>`: what FTP daemons listen on, on protected ports.
    pub const LISTENERS: &str = "LISTENERS";
    /// `Hash<u32, u32>`: processes of FTP daemons, by their number, and of which daemon.
    pub const PROCESSES: &str = "PROCESSES";
    /// `Hash<u64, u32>`: control groups that are an FTP daemon's service, by their id (the inode of their
    /// directory in cgroup2), and of which daemon.
    pub const CGROUPS: &str = "CGROUPS";
    /// `Hash<u32, u32>`: the daemon of a control port. One that is not there is the port's own.
    pub const DAEMONS: &str = "DAEMONS";
    /// `Array<u32, u64>`, [`super::clients::PLACES`] entries, mmapable: [`super::clients::Count`].
    pub const CLIENTS: &str = "CLIENTS";
    /// `PerCpuArray<u32, u64>`: counters, indexed by [`crate::reason::Counter`].
    pub const COUNTERS: &str = "COUNTERS";
    /// `Array<u32, Settings>`, one entry.
    pub const SETTINGS: &str = "SETTINGS";
    /// `Array<u32, u64>`, one entry: the id of the session born last.
    pub const LAST_SESSION: &str = "LAST_SESSION";
    /// `RingBuf` of [`super::event`] records.
    pub const EVENTS: &str = "EVENTS";
}

/// Names of the programs in the eBPF object.
pub mod programs {
    /// XDP, ingress: the filter.
    pub const INGRESS: &str = "ingress";
    /// The same for kernels, before 5.18, that have no frames of several buffers.
    pub const INGRESS_LINEAR: &str = "ingress_linear";
    /// TC, ingress: the filter, and behind it what `commands` does.
    pub const GUARD: &str = "guard";
    /// TC, ingress: follows client bytes.
    pub const COMMANDS: &str = "commands";
    /// TC, egress: follows server bytes, watches outgoing connections.
    pub const REPLIES: &str = "replies";
    /// Raw tracepoint `inet_sock_set_state`.
    pub const SOCKETS: &str = "sockets";
    /// The same tracepoint: what the first was not told.
    pub const SOCKETS_AGAIN: &str = "sockets_again";
    /// Raw tracepoint `sched_process_fork`.
    pub const FORKS: &str = "forks";
    /// Raw tracepoint `sched_process_exec`.
    pub const EXECS: &str = "execs";
    /// Raw tracepoint `sched_process_exit`.
    pub const EXITS: &str = "exits";
    /// Raw tracepoint of none: user space runs it with the words of a [`super::keys::SessionKey`].
    pub const FORGET: &str = "forget";
    /// The same, for whoever opens in user space: with its number, and whether it is TLS from now on.
    pub const TURNED: &str = "turned";
}
