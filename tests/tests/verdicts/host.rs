//! The maps and the socket table of the world, without a kernel; and the one reason for which `guard`
//! drops what its filter let through and that the bytes of the segment alone tell.

use std::collections::{HashMap, HashSet};

use ftpfw_common::{
    Address,
    abi::{
        keys::{EntitledKey, FlowKey, ListenerKey, SessionKey, TupleKey},
        policy::port,
        values::{self, PortEntry},
    },
    filter::{self, Armed, Flow, Socket, Tables},
    packet::{self, Packet, Transport},
    reason::Reason,
};

use ftpfw_tests::packets::ACKNOWLEDGED;

use crate::{
    setup::Setup,
    world::{KnownTuple, What, World},
};

pub struct HostTables {
    policy: Vec<u32>,
    claim_on_syn: bool,
    armed: HashMap<TupleKey, KnownTuple>,
    claimed: HashSet<SessionKey>,
    sockets: HashMap<SessionKey, Socket>,
    flows: HashMap<FlowKey, Flow>,
    /// Flows whose SYN was answered.
    answered: HashSet<FlowKey>,
    listeners: HashMap<ListenerKey, values::Listener>,
    entitled: HashMap<EntitledKey, values::Entitled>,
}

impl HostTables {
    pub fn new(world: &World, setup: Setup) -> Self {
        let claim_on_syn = setup.settings().claim_on_syn != 0;
        let socket = |(key, what)| match what {
            What::Unarmed | What::Begun | What::Overdue if !claim_on_syn => (key, Socket::Request),
            _ => (key, Socket::Connection),
        };
        let flows = world.flows().into_iter().filter(|flow| !flow.expired);
        let flow = |state| match state {
            values::Flow::HANDSHAKE => Flow::Handshake,
            _ => Flow::Live,
        };
        Self {
            policy: setup.policy().table(),
            claim_on_syn,
            armed: world.tuples().into_iter().map(|it| (it.key, it)).collect(),
            claimed: HashSet::new(),
            sockets: world.sockets().map(socket).collect(),
            flows: flows.map(|it| (it.key, flow(it.state))).collect(),
            answered: HashSet::new(),
            listeners: world.listeners().into_iter().collect(),
            entitled: world.entitled().into_iter().collect(),
        }
    }

    /// Every SYN that was let through is answered: by a SYN-ACK that the table's segments acknowledge.
    pub fn answer(&mut self) {
        let flows = self.flows.iter();
        let waiting = flows.filter(|(_, flow)| **flow == Flow::Handshake);
        self.answered.extend(waiting.map(|(key, _)| *key));
    }

    /// The filter's verdict, and the follower's if it has one.
    pub fn judge(&mut self, frame: &[u8]) -> (Reason, Option<Reason>) {
        let reason = filter::decide(&frame, self);
        let follower =
            (reason.is_pass() && !self.checksum_is_right(frame)).then_some(Reason::ControlChecksum);
        (reason, follower)
    }

    /// RFC 9293 §3.1, for segments to control ports only.
    fn checksum_is_right(&self, frame: &[u8]) -> bool {
        let Ok(Packet {
            network,
            transport: Transport::Tcp(tcp),
        }) = packet::parse(&frame)
        else {
            return true;
        };
        if self.policy[usize::from(tcp.destination)] & port::CONTROL == 0 {
            return true;
        }
        let segment = &frame[tcp.at..tcp.end];
        // What a mapped IPv4 address has in front, 0xffff, is nothing in ones' complement.
        let addresses = [network.source(&frame), network.destination(&frame)];
        let length = u32::try_from(segment.len()).expect("fits a frame");
        let pseudo: u32 = addresses.iter().map(|it| sum(&it.octets())).sum();
        let mut total = pseudo + length + 6 + sum(segment);
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        total == 0xffff
    }

    fn claim(&mut self, key: &TupleKey, flow: &FlowKey) {
        self.armed.remove(key);
        self.claimed.insert(SessionKey {
            client: flow.remote,
            server: flow.local,
            client_port: flow.remote_port,
            server_port: flow.local_port,
        });
        self.flows.insert(*flow, Flow::Live);
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    bytes.chunks(2).map(word).sum()
}

impl Tables for HostTables {
    fn port(&self, port: u16) -> PortEntry {
        let armed = self.armed.keys().filter(|key| key.server_port == port);
        let armed = armed.count() as u64 * PortEntry::ONE_ARMED;
        let listeners = self.listeners.keys();
        let listeners = listeners.filter(|key| key.port == u32::from(port)).count() as u64;
        let counts = armed + listeners * PortEntry::ONE_LISTENER;
        PortEntry::new(counts as u32, self.policy[usize::from(port)])
    }

    fn armed(&self, key: &TupleKey) -> Armed {
        match self.armed.get(key) {
            Some(tuple) if tuple.expired => Armed::Expired,
            Some(_) => Armed::Live,
            None => Armed::None,
        }
    }

    fn socket(&self, connection: &SessionKey) -> Socket {
        *self.sockets.get(connection).unwrap_or(&Socket::None)
    }

    fn flow(&self, key: &FlowKey) -> Flow {
        *self.flows.get(key).unwrap_or(&Flow::None)
    }

    fn listens_for(&self, key: &TupleKey) -> bool {
        [key.server, Address::UNSPECIFIED].iter().any(|server| {
            let listener = ListenerKey {
                server: *server,
                port: key.server_port.into(),
            };
            self.listeners.get(&listener).is_some_and(|listener| {
                let entitled = EntitledKey {
                    client: key.client,
                    server: key.server,
                    daemon: listener.daemon,
                };
                let sessions = self.entitled.get(&entitled);
                (listener.client.is_unspecified() || listener.client == key.client)
                    && sessions.is_some_and(|it| it.since <= listener.opened_at)
            })
        })
    }

    fn is_entitled(&self, key: &TupleKey) -> bool {
        let mut entitled = self.entitled.keys();
        entitled.any(|it| (it.client, it.server) == (key.client, key.server))
    }

    fn claims_on_syn(&self) -> bool {
        self.claim_on_syn
    }

    fn retransmitted(&self, connection: &SessionKey) -> bool {
        self.claimed.contains(connection) && self.claim_on_syn
    }

    fn admit(&mut self, key: &TupleKey, flow: &FlowKey) {
        if self.claim_on_syn {
            self.claim(key, flow);
        } else {
            self.flows.insert(*flow, Flow::Handshake);
            self.answered.remove(flow);
        }
    }

    fn establish(&mut self, key: &TupleKey, flow: &FlowKey, acknowledged: u32) {
        let answered = self.answered.contains(flow) && acknowledged == ACKNOWLEDGED;
        if answered && self.armed.get(key).is_some_and(|tuple| tuple.forwarded) {
            self.claim(key, flow);
        }
    }
}
