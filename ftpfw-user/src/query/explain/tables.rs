//! The pinned maps as the filter asks them: the same questions that the programs ask, by the same
//! `filter::decide`, about a SYN that nobody sent.

use ftpfw_common::{
    Address,
    abi::{
        keys::{EntitledKey, FlowKey, ListenerKey, PairKey, SessionKey, TupleKey},
        policy::Settings,
        values::{Entitled, PortEntry, Tuple},
    },
    filter::{self, Armed, Flow, HANDSHAKE, Socket, Tables},
    packet::{protocol, transport::flag},
    reason::Reason,
};

use crate::{
    cli::Ends,
    kernel::{
        Maps, Wire, clock,
        maps::{EntitledMap, ListenerMap, OpaqueMap},
        ports::Ports,
        tuples::TupleMap,
    },
};

/// Views of the maps, at one moment.
pub struct PinnedTables {
    pub settings: Settings,
    /// ns of `CLOCK_MONOTONIC`.
    pub now: u64,
    ports: Ports,
    armed: TupleMap,
    claimed: TupleMap,
    listeners: ListenerMap,
    entitled: EntitledMap,
    opaque: OpaqueMap,
}

impl PinnedTables {
    /// Opens the views.
    pub fn new(maps: &Maps) -> anyhow::Result<Self> {
        Ok(Self {
            settings: maps.settings()?.get(&0, 0)?.0,
            now: clock::now(),
            ports: maps.ports()?,
            armed: maps.armed()?,
            claimed: maps.claimed()?,
            listeners: maps.listeners()?,
            entitled: maps.entitled()?,
            opaque: maps.opaque()?,
        })
    }

    /// What the filter would do with a SYN, and why.
    pub fn judge(&mut self, ends: &Ends, client_port: u16) -> Reason {
        filter::decide(&&syn(ends, client_port)[..], self)
    }

    /// The tuple, armed or expired.
    pub fn tuple(&self, key: &TupleKey) -> Option<Tuple> {
        Some(self.armed.get(&Wire(*key), 0).ok()?.0)
    }

    fn is_for(&self, key: &ListenerKey, tuple: &TupleKey) -> bool {
        let Ok(Wire(listener)) = self.listeners.get(&Wire(*key), 0) else {
            return false;
        };
        let entitled = EntitledKey {
            client: tuple.client,
            server: tuple.server,
            daemon: listener.daemon,
        };
        let entitled: Option<Entitled> = self.entitled.get(&Wire(entitled), 0).ok().map(|it| it.0);
        listener.is_for(&tuple.client, entitled.as_ref())
    }
}

impl Tables for PinnedTables {
    fn port(&self, port: u16) -> PortEntry {
        self.ports.get(port)
    }

    fn armed(&self, key: &TupleKey) -> Armed {
        match self.tuple(key) {
            Some(tuple) if tuple.until > self.now => Armed::Live,
            Some(_) => Armed::Expired,
            None => Armed::None,
        }
    }

    /// A SYN is not asked for its socket.
    fn socket(&self, _: &SessionKey) -> Socket {
        Socket::None
    }

    /// Nor for its flow.
    fn flow(&self, _: &FlowKey) -> Flow {
        Flow::None
    }

    fn claims_on_syn(&self) -> bool {
        self.settings.claim_on_syn != 0
    }

    fn retransmitted(&self, connection: &SessionKey) -> bool {
        let claimed = TupleKey {
            client: connection.client,
            server: connection.server,
            client_port: connection.client_port,
            server_port: connection.server_port,
        };
        self.claims_on_syn()
            && self
                .claimed
                .get(&Wire(claimed), 0)
                .is_ok_and(|tuple| self.now.wrapping_sub(tuple.0.until) < HANDSHAKE)
    }

    fn listens_for(&self, key: &TupleKey) -> bool {
        [key.server, Address::UNSPECIFIED]
            .into_iter()
            .any(|server| self.is_for(&ListenerKey::new(server, key.server_port), key))
    }

    fn is_entitled(&self, key: &TupleKey) -> bool {
        let pair = PairKey {
            client: key.client,
            server: key.server,
        };
        self.opaque.get(&Wire(pair), 0).is_ok_and(|it| it > 0)
    }

    /// Nobody came.
    fn admit(&mut self, _: &TupleKey, _: &FlowKey) {}

    fn establish(&mut self, _: &TupleKey, _: &FlowKey, _: u32) {}
}

const ETHERNET: usize = 14;
const TCP: usize = 20;

/// The frame of a SYN (RFC 9293 §3.1), with what the filter reads of it; not a checksum.
fn syn(ends: &Ends, client_port: u16) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET];
    match (Address::from(ends.client), Address::from(ends.server)) {
        (client, server) if client.is_v4() => {
            frame[12..].copy_from_slice(&[0x08, 0x00]);
            frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol::TCP, 0, 0]);
            for address in [client, server] {
                frame.extend(address.to_v4().unwrap_or_default());
            }
        }
        (client, server) => {
            frame[12..].copy_from_slice(&[0x86, 0xdd]);
            frame.extend([0x60, 0, 0, 0, 0, 20, protocol::TCP, 64]);
            for address in [client, server] {
                frame.extend(address.octets());
            }
        }
    }
    let mut tcp = [0; TCP];
    tcp[0..2].copy_from_slice(&client_port.to_be_bytes());
    tcp[2..4].copy_from_slice(&ends.port.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = flag::SYN;
    frame.extend(tcp);
    frame
}

#[cfg(test)]
mod tests {
    use ftpfw_common::packet::{self, Transport};

    use super::*;

    #[test]
    fn the_syn_is_read_as_one() {
        for (client, server) in [("192.0.2.7", "192.0.2.1"), ("2001:db8::7", "2001:db8::1")] {
            let ends = Ends {
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                port: 50_001,
            };
            let frame = syn(&ends, 40_000);
            let cursor = &frame[..];
            let packet = packet::parse(&cursor).expect(client);
            let Transport::Tcp(tcp) = packet.transport else {
                panic!("{packet:?}");
            };
            assert!(tcp.opens());
            assert_eq!((tcp.source, tcp.destination), (40_000, 50_001));
            assert_eq!(packet.network.source(&cursor), ends.client.into());
            assert_eq!(packet.network.destination(&cursor), ends.server.into());
        }
    }
}
