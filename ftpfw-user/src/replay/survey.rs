//! A first look at the whole capture: which host is the server, and which connections were there
//! before it began. A kernel knows both; a capture shows them only later.

use std::collections::{BTreeSet, HashMap, HashSet};

use ftpfw_common::{
    Address,
    abi::{
        keys::{PairKey, SessionKey},
        policy::port,
    },
    packet::{self, Packet, Tcp, Transport, transport::flag},
};

use super::capture::Frame;

/// What the whole capture shows.
#[derive(Debug, Default)]
pub struct Survey {
    /// When the first frame was captured, ns since 1970.
    pub begins: Option<u64>,
    /// Addresses that speak from a control port.
    pub servers: BTreeSet<Address>,
    /// Connections of which the capture has no SYN, each as its either end would see it: an end
    /// has a socket for it if it sent anything but a RST.
    pub earlier: HashSet<SessionKey>,
    /// Connections of which something was seen, one end first, and whether that was a SYN.
    began: HashMap<(PairKey, u16, u16), bool>,
}

impl Survey {
    /// Takes a look at one frame. `policy`: bits of [`port`] of each port.
    pub fn look(&mut self, frame: &Frame<'_>, policy: &[u32]) {
        self.begins = self.begins.or(frame.at);
        let cursor = frame.bytes;
        let Ok(Packet {
            network,
            transport: Transport::Tcp(tcp),
        }) = packet::parse(&cursor)
        else {
            return;
        };
        let (from, to) = (network.source(&cursor), network.destination(&cursor));
        let is_control = |number: u16| policy[usize::from(number)] & port::CONTROL != 0;
        // The greeting, a reply, a SYN-ACK; a RST comes from a port where nobody serves.
        if is_control(tcp.source) && !is_control(tcp.destination) && !tcp.has(flag::RST) {
            self.servers.insert(from);
        }
        self.connection(from, to, &tcp);
    }

    fn connection(&mut self, from: Address, to: Address, tcp: &Tcp) {
        let sender = SessionKey {
            client: to,
            server: from,
            client_port: tcp.destination,
            server_port: tcp.source,
        };
        let with_syn = *self.began.entry(name(&sender)).or_insert(tcp.opens());
        if !with_syn && !tcp.has(flag::RST) {
            self.earlier.insert(sender);
        }
    }
}

/// The same for both directions of a connection.
fn name(key: &SessionKey) -> (PairKey, u16, u16) {
    let (client, server) = (key.client, key.server);
    if (client, key.client_port) < (server, key.server_port) {
        (PairKey { client, server }, key.client_port, key.server_port)
    } else {
        let pair = PairKey {
            client: server,
            server: client,
        };
        (pair, key.server_port, key.client_port)
    }
}
