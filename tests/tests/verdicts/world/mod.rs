//! What the packets of the table meet: tuples, open ports, and real sockets of the kernel.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::Result;
use ftpfw_common::abi::keys::{SessionKey, TupleKey};
use ftpfw_tests::netns::Netns;
use ftpfw_user::config::PortPolicy;
use rustix::net::{AddressFamily, SocketType};

/// Armed for the client.
pub const TUPLE: u16 = 50_000;
/// Was armed for the client; its deadline is over.
pub const EXPIRED: u16 = 50_001;
/// `--open-port 8080/tcp`.
pub const OPEN: u16 = 8080;
/// A protected port that a service listens on.
pub const SERVICE: u16 = 40_000;
/// A protected port that nothing is known about.
pub const CLOSED: u16 = 45_000;

/// Addresses and an established connection of one family.
pub struct Side {
    pub name: &'static str,
    pub client: IpAddr,
    pub server: IpAddr,
    pub stranger: IpAddr,
    /// The client's end of a connection to [`SERVICE`].
    pub connected: SocketAddr,
    _sockets: (TcpListener, TcpStream),
}

pub struct World {
    pub netns: Netns,
    pub sides: [Side; 2],
}

impl World {
    pub fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let label = format!("verdicts-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let netns = Netns::new(&label)?;
        // A test run takes place on the loopback interface: let all addresses be there.
        netns.ip(
            "addr add 10.63.0.1/24 dev lo\naddr add 10.63.0.2/24 dev lo\n\
             addr add fd76::1/64 dev lo nodad\naddr add fd76::2/64 dev lo nodad",
        )?;
        let v4 = side(&netns, "v4", ["10.63.0.1", "10.63.0.2", "10.63.0.3"])?;
        let v6 = side(&netns, "v6", ["fd76::1", "fd76::2", "fd76::3"])?;
        Ok(Self {
            netns,
            sides: [v4, v6],
        })
    }

    pub fn policy(&self) -> PortPolicy {
        let open = vec![format!("{OPEN}/tcp").parse().expect("a port")];
        PortPolicy {
            open,
            ..PortPolicy::default()
        }
    }

    pub fn live_tuples(&self) -> impl Iterator<Item = TupleKey> {
        self.sides.iter().map(|side| side.tuple(TUPLE))
    }

    pub fn expired_tuples(&self) -> impl Iterator<Item = TupleKey> {
        self.sides.iter().map(|side| side.tuple(EXPIRED))
    }

    pub fn connections(&self) -> impl Iterator<Item = SessionKey> {
        self.sides.iter().map(|side| SessionKey {
            client: side.client.into(),
            server: side.server.into(),
            client_port: side.connected.port(),
            server_port: SERVICE,
        })
    }
}

impl Side {
    fn tuple(&self, port: u16) -> TupleKey {
        TupleKey::passive(self.client.into(), self.server.into(), port)
    }
}

fn side(netns: &Netns, name: &'static str, [server, client, stranger]: [&str; 3]) -> Result<Side> {
    let (server, client): (IpAddr, IpAddr) = (server.parse()?, client.parse()?);
    netns.wait_for_address(server)?;
    netns.wait_for_address(client)?;
    let listener = netns.run(|| TcpListener::bind((server, SERVICE)))??;
    let stream = netns.run(|| connect_from(client, (server, SERVICE).into()))??;
    let connected = stream.local_addr()?;
    let stranger = stranger.parse()?;
    Ok(Side {
        name,
        client,
        server,
        stranger,
        connected,
        _sockets: (listener, stream),
    })
}

/// On loopback the kernel would take the server's own address for the client's.
fn connect_from(client: IpAddr, server: SocketAddr) -> Result<TcpStream> {
    let family = if client.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(client, 0))?;
    rustix::net::connect(&socket, &server)?;
    Ok(socket.into())
}
