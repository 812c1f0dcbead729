//! The maps of the kernel, in memory: what the filter asks, and what arms and claims.
//!
//! Mirrors `tables.rs` and `tuples.rs` of ftpfw-ebpf.

use std::{cell::Cell, collections::HashMap};

use ftpfw_common::{
    Address,
    abi::{
        keys::{FlowKey, PairKey, SessionKey, TupleKey},
        policy::{Settings, port},
        values::{Mode, PortEntry, Tuple},
    },
    filter::{Armed, Flow, HANDSHAKE, Socket, Tables},
    packet::protocol,
};

use super::sockets::Sockets;

/// All that the filter and the follower share.
#[derive(Debug)]
pub struct World {
    /// Time of the frame under way, ns since the first.
    pub now: u64,
    /// Connections.
    pub sockets: Sockets,
    /// Sessions that are encrypted, by their ends.
    pub opaque: HashMap<PairKey, u64>,
    ports: Vec<PortEntry>,
    armed: HashMap<TupleKey, Tuple>,
    /// Flows, until when they are live, and whether their handshake is under way.
    flows: HashMap<FlowKey, (Cell<u64>, bool)>,
}

impl World {
    /// An empty world. `policy`: bits of [`port`] of each port.
    #[must_use]
    pub fn new(policy: &[u32]) -> Self {
        Self {
            now: 0,
            sockets: Sockets::default(),
            opaque: HashMap::new(),
            ports: policy.iter().map(|it| PortEntry::new(0, *it)).collect(),
            armed: HashMap::new(),
            flows: HashMap::new(),
        }
    }

    /// Bits of [`port`] of a port.
    #[must_use]
    pub fn policy(&self, port: u16) -> u32 {
        self.ports[usize::from(port)].policy()
    }

    /// Whether data connections to a port need a tuple.
    #[must_use]
    pub fn is_closed(&self, port: u16) -> bool {
        self.policy(port) & (port::PROTECTED_TCP | port::OPEN_TCP) == port::PROTECTED_TCP
    }

    /// Arms a tuple, or gives one that is armed already a new deadline and session.
    pub fn arm(&mut self, key: TupleKey, session: u64, mode: Mode) {
        let until = self.now.saturating_add(Settings::DEFAULT.tuple_lifetime);
        let tuple = Tuple::new(session, mode, self.now, until);
        if self.armed.insert(key, tuple).is_none() {
            self.count(&key, PortEntry::ONE_ARMED);
        }
    }

    /// Takes a tuple that nobody claimed away from `session`; `false` if it is not there or not its.
    pub fn withdraw(&mut self, key: &TupleKey, session: u64) -> bool {
        self.tuple(key).is_some_and(|it| it.session == session) && self.remove(key).is_some()
    }

    /// The connection that `key` allows is made; the tuple, if there was one.
    pub fn claim(&mut self, key: &TupleKey) -> Option<Tuple> {
        self.remove(key)
    }

    /// The tuple under `key`, whether its deadline has passed or not.
    #[must_use]
    pub fn tuple(&self, key: &TupleKey) -> Option<&Tuple> {
        self.armed.get(key)
    }

    /// Remembers a datagram that went out.
    pub fn sent_datagram(&mut self, remote: Address, local: Address, ports: (u16, u16)) {
        if self.policy(ports.1) & port::PROTECTED_UDP == 0 {
            return;
        }
        let key = FlowKey {
            remote,
            local,
            remote_port: ports.0,
            local_port: ports.1,
            protocol: u32::from(protocol::UDP),
        };
        self.remember(key);
    }

    fn remember(&mut self, key: FlowKey) {
        let until = self.now.saturating_add(lifetime(&key));
        self.flows.insert(key, (Cell::new(until), false));
    }

    fn remove(&mut self, key: &TupleKey) -> Option<Tuple> {
        let removed = self.armed.remove(key)?;
        self.count(key, PortEntry::ONE_ARMED.wrapping_neg());
        Some(removed)
    }

    fn count(&mut self, key: &TupleKey, change: u64) {
        if key.is_passive() {
            let entry = &mut self.ports[usize::from(key.server_port)];
            entry.0 = entry.0.wrapping_add(change);
        }
    }
}

fn lifetime(flow: &FlowKey) -> u64 {
    if flow.protocol == u32::from(protocol::TCP) {
        Settings::DEFAULT.tcp_flow_lifetime
    } else {
        Settings::DEFAULT.udp_flow_lifetime
    }
}

impl Tables for World {
    fn port(&self, port: u16) -> PortEntry {
        self.ports[usize::from(port)]
    }

    fn armed(&self, key: &TupleKey) -> Armed {
        match self.armed.get(key) {
            Some(tuple) if tuple.until > self.now => Armed::Live,
            Some(_) => Armed::Expired,
            None => Armed::None,
        }
    }

    fn socket(&self, connection: &SessionKey) -> Socket {
        self.sockets.find(connection, self.now)
    }

    fn flow(&self, key: &FlowKey) -> Flow {
        match self.flows.get(key) {
            Some((until, handshake)) if until.get() > self.now => {
                if *handshake {
                    return Flow::Handshake;
                }
                until.set(self.now.saturating_add(lifetime(key)));
                Flow::Live
            }
            _ => Flow::None,
        }
    }

    fn admit(&mut self, _key: &TupleKey, flow: &FlowKey) {
        let until = self.now.saturating_add(HANDSHAKE);
        self.flows.insert(*flow, (Cell::new(until), true));
    }

    /// The kernel has a socket by now; a capture of one direction only shows none.
    fn establish(&mut self, _key: &TupleKey, flow: &FlowKey, _acknowledged: u32) {
        self.remember(*flow);
    }
}
