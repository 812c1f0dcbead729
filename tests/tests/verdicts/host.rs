//! The maps and the socket table of the world, without a kernel.

use std::collections::{HashMap, HashSet};

use ftpfw_common::abi::keys::{FlowKey, SessionKey, TupleKey};
use ftpfw_common::abi::values::PortEntry;
use ftpfw_common::filter::{Armed, Flow, Socket, Tables};

use crate::world::World;

pub struct HostTables {
    policy: Vec<u32>,
    armed: HashMap<TupleKey, Armed>,
    connections: HashSet<SessionKey>,
    flows: HashMap<FlowKey, Flow>,
}

impl HostTables {
    pub fn new(world: &World) -> Self {
        let live = world.live_tuples().map(|key| (key, Armed::Live));
        let expired = world.expired_tuples().map(|key| (key, Armed::Expired));
        Self {
            policy: world.policy().table(),
            armed: live.chain(expired).collect(),
            connections: world.connections().collect(),
            flows: HashMap::new(),
        }
    }
}

impl Tables for HostTables {
    fn port(&self, port: u16) -> PortEntry {
        let armed = self
            .armed
            .keys()
            .filter(|key| key.server_port == port)
            .count();
        let armed = armed.try_into().expect("a few");
        PortEntry::new(armed, self.policy[usize::from(port)])
    }

    fn armed(&self, key: &TupleKey) -> Armed {
        self.armed.get(key).copied().unwrap_or(Armed::None)
    }

    fn socket(&self, connection: &SessionKey) -> Socket {
        match self.connections.contains(connection) {
            true => Socket::Connection,
            false => Socket::None,
        }
    }

    fn flow(&self, key: &FlowKey) -> Flow {
        self.flows.get(key).copied().unwrap_or(Flow::None)
    }

    fn admit(&mut self, _key: &TupleKey, flow: &FlowKey) {
        self.flows.insert(*flow, Flow::Handshake);
    }

    fn establish(&mut self, _key: &TupleKey, _flow: &FlowKey) {}
}
