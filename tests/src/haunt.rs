//! Where ghosts live: an address of the laboratory that belongs to no host, so that no kernel answers
//! for it. The server is told to look for it behind the client's hardware address.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use etherparse::{NetSlice, SlicedPacket, TcpHeader, TransportSlice};

use crate::ghost::with_checksum;
use crate::lab::{Family, Host, Lab};
use crate::packets;
use crate::wire::Wire;

/// Closed on every host of a laboratory and never protected: a SYN to it is answered by a RST.
const SENTINEL: u16 = 1;

/// A segment that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its header.
    pub tcp: TcpHeader,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A ghost's address in a laboratory, and its cable.
#[derive(Debug)]
pub struct Haunt<'a> {
    wire: Wire,
    server: &'a Host,
    /// The ghost's address.
    pub address: IpAddr,
    target: IpAddr,
}

impl<'a> Haunt<'a> {
    /// Lets ghosts live behind the client's cable.
    ///
    /// # Errors
    /// Without root.
    pub fn new(lab: &'a Lab, family: Family) -> Result<Self> {
        let address = match lab.client.address(family) {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::from([a, b, c, 77])
            }
            IpAddr::V6(v6) => {
                let mut octets = v6.octets();
                octets[15] = 77;
                IpAddr::from(octets)
            }
        };
        let mac = lab.client.mac.map(|byte| format!("{byte:02x}")).join(":");
        let server = &lab.server;
        server.netns.ip(&format!(
            "neigh replace {address} lladdr {mac} dev eth0 nud permanent"
        ))?;
        Ok(Self {
            wire: Wire::new(lab, &lab.client)?,
            server,
            address,
            target: server.address(family),
        })
    }

    /// Sends a frame to the server as it is, but for the hardware addresses.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn send(&self, frame: Vec<u8>) -> Result<()> {
        self.wire.send(self.server, frame)
    }

    /// A socket address of the ghost's that nobody used before.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        const PORTS: u32 = 64_000;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 1024 + u16::try_from(number % PORTS).expect("less than PORTS");
        SocketAddr::new(self.address, port)
    }

    /// A port of the server.
    #[must_use]
    pub fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.target, port)
    }

    /// The next segment of the server's from `from` to `to`.
    ///
    /// # Errors
    /// When none comes.
    pub fn receive(&self, to: SocketAddr, from: SocketAddr) -> Result<Received> {
        loop {
            let frame = self.wire.receive()?;
            if let Some(received) = read(&frame, from, to) {
                return Ok(received);
            }
        }
    }

    /// What the server answered to frames that were sent before, up to now. The answer to one more
    /// frame says that there is nothing to wait for.
    ///
    /// # Errors
    /// When the server does not answer at all.
    pub fn answers(&self) -> Result<Vec<(SocketAddr, SocketAddr, Received)>> {
        let (from, to) = (self.socket(), self.server(SENTINEL));
        self.send(with_checksum(packets::tcp(from, to, "S", b"")))?;
        let mut answers = Vec::new();
        loop {
            let frame = self.wire.receive()?;
            let Some((sender, receiver, received)) = dissect(&frame) else {
                continue;
            };
            if sender.ip() != self.target || receiver.ip() != self.address {
                continue;
            }
            if (sender, receiver) == (to, from) {
                return Ok(answers);
            }
            answers.push((sender, receiver, received));
        }
    }
}

/// The TCP segment in a frame, with its sender and receiver; `None` for any other frame.
#[must_use]
pub fn dissect(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Received)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        return None;
    };
    let received = Received {
        tcp: tcp.to_header(),
        payload: tcp.payload().to_vec(),
    };
    Some((
        SocketAddr::new(from, tcp.source_port()),
        SocketAddr::new(to, tcp.destination_port()),
        received,
    ))
}

fn read(frame: &[u8], from: SocketAddr, to: SocketAddr) -> Option<Received> {
    let (sender, receiver, received) = dissect(frame)?;
    (sender == from && receiver == to).then_some(received)
}
