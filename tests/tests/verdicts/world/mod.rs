//! What the packets of the table meet: tuples, ports, flows, and real sockets of a real kernel.

mod entitled;
mod sockets;

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use ftpfw_common::abi::{
    keys::{FlowKey, SessionKey, TupleKey},
    values::Flow,
};
use ftpfw_tests::{
    lab::{Family, Lab},
    netns::Netns,
};

use sockets::Sockets;
pub use sockets::What;

/// Armed for the client.
pub const TUPLE: u16 = 50_000;
/// Was armed for the client; its deadline is over.
pub const EXPIRED: u16 = 50_001;
/// Armed for the client, of IPv4 only: the next one is for IPv6. The daemon is in a container.
pub const FORWARDED: u16 = 50_010;
/// Armed for the client and for the stranger.
pub const SHARED: u16 = 50_003;
/// Armed for the ghost, which has sent a SYN and nothing more.
pub const BEGUN: u16 = 50_004;
/// The same, but the deadline passed since.
pub const OVERDUE: u16 = 50_005;
/// `--open-port 8080/tcp`.
pub const OPEN_TCP: u16 = 8080;
/// `--open-port 8053/udp`.
pub const OPEN_UDP: u16 = 8053;
/// `--open-port 8081`.
pub const OPEN_BOTH: u16 = 8081;
/// A protected port that a service listens on.
pub const SERVICE: u16 = 40_000;
/// The same, on a socket of IPv6 that takes both families; the next one for IPv6 itself.
pub const DUAL_STACK: u16 = 40_001;
/// A protected port that nothing is known about.
pub const CLOSED: u16 = 45_000;
/// What the client's FTP daemon listens on.
pub const LISTENER: u16 = 46_000;
/// The same, on all addresses, for IPv4; the next one for IPv6.
pub const WILDCARD: u16 = 46_002;
/// For the stranger's session.
pub const NARROWED: u16 = 46_004;
/// Opened before the client's session began.
pub const OLD_LISTENER: u16 = 46_005;
/// Of a daemon that the client has no session on.
pub const OTHER_DAEMON: u16 = 46_006;
/// `--ftps range --passive-ports 47000-47001`.
pub const PASSIVE: u16 = 47_000;
/// A port of the client's that the server's host has flows to, and from which of its own.
pub const FLOW: u16 = 6100;
pub const FLOW_FROM: u16 = 41_000;

/// Addresses of one family, and the sockets between them.
pub struct Side {
    pub name: &'static str,
    pub client: IpAddr,
    pub server: IpAddr,
    pub stranger: IpAddr,
    sockets: Sockets,
}

/// The hosts; the programs run on the server.
pub struct World {
    pub sides: [Side; 2],
    lab: Lab,
}

/// A flow that the tests put into `FLOWS`.
#[derive(Clone, Copy, Debug)]
pub struct KnownFlow {
    pub key: FlowKey,
    pub state: u32,
    pub expired: bool,
}

/// A tuple that the tests arm.
#[derive(Clone, Copy, Debug)]
pub struct KnownTuple {
    pub key: TupleKey,
    pub expired: bool,
    pub forwarded: bool,
}

impl World {
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let side = |name, family| -> Result<Side> {
            Ok(Side {
                name,
                client: lab.client.address(family),
                server: lab.server.address(family),
                stranger: lab.stranger.address(family),
                sockets: Sockets::open(&lab, family)?,
            })
        };
        let sides = [side("v4", Family::V4)?, side("v6", Family::V6)?];
        Ok(Self { sides, lab })
    }

    /// Where the kernel looks sockets up.
    pub fn netns(&self) -> &Netns {
        &self.lab.server.netns
    }

    pub fn tuples(&self) -> Vec<KnownTuple> {
        self.sides.iter().flat_map(Side::tuples).collect()
    }

    pub fn flows(&self) -> Vec<KnownFlow> {
        self.sides.iter().flat_map(Side::flows).collect()
    }

    pub fn sockets(&self) -> impl Iterator<Item = (SessionKey, What)> {
        let keys = |side: &Side| {
            let key = |(what, [remote, local]): &(What, [SocketAddr; 2])| {
                let key = SessionKey {
                    client: remote.ip().into(),
                    server: local.ip().into(),
                    client_port: remote.port(),
                    server_port: local.port(),
                };
                (key, *what)
            };
            side.sockets.ends.iter().map(key).collect::<Vec<_>>()
        };
        self.sides.iter().flat_map(keys)
    }
}

impl Side {
    /// Sequence number of the byte that the server wants next of the control connection.
    pub const fn control_next(&self) -> u32 {
        self.sockets.control_next
    }

    /// Both ends of a connection, the server's last.
    pub fn ends(&self, what: What) -> [SocketAddr; 2] {
        let is_it = |(it, _): &&(What, _)| *it == what;
        let found = self.sockets.ends.iter().find(is_it);
        found.expect("every socket is in the world").1
    }

    /// [`FORWARDED`] of this family: no other tuple has the port.
    pub fn forwarded(&self) -> u16 {
        FORWARDED + u16::from(self.server.is_ipv6())
    }

    fn tuples(&self) -> Vec<KnownTuple> {
        let ghost = self.ends(What::Begun)[0].ip();
        let tuple = |client: IpAddr, port, expired| KnownTuple {
            key: TupleKey::passive(client.into(), self.server.into(), port),
            expired,
            forwarded: port == self.forwarded(),
        };
        vec![
            tuple(self.client, TUPLE, false),
            tuple(self.client, EXPIRED, true),
            tuple(self.client, self.forwarded(), false),
            tuple(self.client, SHARED, false),
            tuple(self.stranger, SHARED, false),
            tuple(ghost, BEGUN, false),
            tuple(ghost, OVERDUE, true),
        ]
    }

    fn flows(&self) -> Vec<KnownFlow> {
        const TCP: u32 = 6;
        const UDP: u32 = 17;
        let flow = |nth, protocol, state, expired| KnownFlow {
            key: FlowKey {
                remote: self.client.into(),
                local: self.server.into(),
                remote_port: FLOW,
                local_port: FLOW_FROM + nth,
                protocol,
            },
            state,
            expired,
        };
        vec![
            flow(0, UDP, Flow::LIVE, false),
            flow(1, UDP, Flow::LIVE, true),
            flow(2, TCP, Flow::LIVE, false),
            flow(3, TCP, Flow::LIVE, true),
            flow(4, TCP, Flow::CLOSING, false),
            flow(5, TCP, Flow::CLOSING, true),
            flow(6, TCP, Flow::HANDSHAKE, false),
            flow(7, TCP, Flow::HANDSHAKE, true),
        ]
    }
}
