//! The sockets that the programs look up. The test packets themselves belong to none of them: a
//! dummy socket that is not connected is behind each.
//!
//! A session is therefore born by the client's first word, if the kernel knows its connection, and
//! how old that is tells the connection's socket.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context as _, Result};
use ftpfw_common::{Address, abi::keys::SessionKey, stream::Sequence};
use ftpfw_tests::{haunt::dissect, netns::Netns, wire::Wire};
use rustix::net::{AddressFamily, SocketType};

const CONTROL_PORT: u16 = 21;
/// Client and server, of each family.
const ENDS: [[&str; 2]; 2] = [["10.0.0.9", "10.77.0.1"], ["fd77::9", "fd77::1"]];
/// What the daemon listens on; nothing listens on any other port.
pub const LISTENING: [u16; 20] = [
    1024, 1025, 8080, 22_335, 49_999, 50_000, 50_001, 50_002, 50_003, 50_004, 50_005, 50_006,
    50_007, 50_008, 50_009, 50_010, 65_532, 65_533, 65_534, 65_535,
];

/// A control connection.
pub struct Connection {
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// The server spoke before the follower came.
    pub used: bool,
    /// What the server's TCP wants next of the client, from first to last: it never sees a segment
    /// of the test.
    pub wanted: Sequence,
    _sockets: (TcpStream, TcpStream),
}

impl Connection {
    fn new(client: IpAddr, server: &TcpListener, used: bool, wire: &Wire) -> Result<Self> {
        let socket = match client {
            IpAddr::V4(_) => rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?,
            IpAddr::V6(_) => rustix::net::socket(AddressFamily::INET6, SocketType::STREAM, None)?,
        };
        // On loopback the kernel would take the server's own address for the client's.
        rustix::net::bind(&socket, &SocketAddr::new(client, 0))?;
        rustix::net::connect(&socket, &server.local_addr()?)?;
        let mut near = TcpStream::from(socket);
        let (mut far, client) = server.accept()?;
        if used {
            far.write_all(b"?")?;
            near.read_exact(&mut [0])?;
        }
        let server = far.local_addr()?;
        Ok(Self {
            client,
            server,
            used,
            wanted: first(wire, (client, server))?,
            _sockets: (near, far),
        })
    }

    pub fn key(&self) -> SessionKey {
        SessionKey {
            client: self.client.ip().into(),
            server: self.server.ip().into(),
            client_port: self.client.port(),
            server_port: self.server.port(),
        }
    }
}

/// The sequence number of the first byte that one end would say to the other.
fn first(wire: &Wire, (from, to): (SocketAddr, SocketAddr)) -> Result<Sequence> {
    loop {
        let Some((sender, receiver, segment)) = dissect(&wire.receive()?) else {
            continue;
        };
        if (sender, receiver) == (from, to) && !segment.tcp.syn {
            return Ok(Sequence(segment.tcp.sequence_number));
        }
    }
}

/// All sockets of a test.
pub struct World {
    connections: Vec<Connection>,
    _listeners: Vec<TcpListener>,
}

impl World {
    /// To be called inside of `netns`, which has nothing but its loopback.
    pub fn new(netns: &Netns) -> Result<Self> {
        let mut connections = Vec::new();
        let wire = Wire::loopback()?;
        for [client, server] in ENDS {
            netns.ip(&format!(
                "addr add {client} dev lo nodad\naddr add {server} dev lo nodad"
            ))?;
            let (client, server) = (client.parse()?, server.parse()?);
            netns.wait_for_address(client)?;
            netns.wait_for_address(server)?;
            let control = TcpListener::bind((server, CONTROL_PORT))?;
            for used in [false, true] {
                connections.push(Connection::new(client, &control, used, &wire)?);
            }
        }
        // On `::` the kernel listens for both families.
        let listen = |port| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        let listeners = LISTENING.into_iter().map(listen).collect::<Result<_, _>>();
        Ok(Self {
            connections,
            _listeners: listeners.context("listen")?,
        })
    }

    /// The connection of a client that is fresh, or was used before.
    pub fn connection(&self, client: Address, used: bool) -> Result<&Connection> {
        let client = IpAddr::from(client);
        self.connections
            .iter()
            .find(|it| it.client.ip() == client && it.used == used)
            .with_context(|| format!("no connection from {client}"))
    }
}
