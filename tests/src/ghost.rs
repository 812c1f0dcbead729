//! A TCP peer without a kernel: every number in its segments is the test's to choose.
//!
//! Its address belongs to no host, so that no kernel answers for it; the server is told to look for
//! it behind the client's hardware address.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, ensure};
use etherparse::{SlicedPacket, TcpHeader, TransportSlice};

use crate::lab::{Family, Host, Lab};
use crate::packets;
use crate::wire::Wire;

/// Closed on every host of a laboratory and never protected: a SYN to it is answered by a RST.
const SENTINEL: u16 = 1;
/// What a ghost takes at once, in units of 2^[`SCALE`] bytes: a kernel fills half a window at most
/// with one segment, and the longest one shall fit.
const WINDOW: u16 = 60_000;
/// Window scale (RFC 7323 §2.2).
const SCALE: u8 = 4;

/// One segment, before it is sent.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// As tcpdump writes them, see [`packets::tcp`].
    pub flags: &'a str,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Window.
    pub window: u16,
    /// Options as they are; a multiple of 4 bytes.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// The frame that carries it.
    ///
    /// # Panics
    /// When it does not fit, or the two addresses are not of one family.
    #[must_use]
    pub fn frame(&self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let has = |flag| self.flags.contains(flag);
        let mut tcp = TcpHeader::new(from.port(), to.port(), self.sequence, self.window);
        tcp.acknowledgment_number = self.acknowledgment;
        (tcp.syn, tcp.ack, tcp.fin) = (has('S'), has('A'), has('F'));
        (tcp.rst, tcp.psh, tcp.urg) = (has('R'), has('P'), has('U'));
        tcp.set_options_raw(self.options).expect("options fit");
        tcp.checksum = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                tcp.calc_checksum_ipv4_raw(from.octets(), to.octets(), self.payload)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                tcp.calc_checksum_ipv6_raw(from.octets(), to.octets(), self.payload)
            }
            _ => panic!("{from} and {to} are of two families"),
        }
        .expect("payload fits a segment");
        let bytes = [tcp.to_bytes().as_slice(), self.payload].concat();
        with_checksum(packets::ip(from.ip(), to.ip(), 6, &bytes))
    }
}

/// An untagged frame with the checksum of its IPv4 header (RFC 791 §3.1) put right; IPv6 has none.
///
/// # Panics
/// When the frame ends inside its header.
#[must_use]
pub fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[packets::ETHERNET] >> 4 != 4 {
        return frame;
    }
    let field = packets::ETHERNET + 10;
    frame[field..field + 2].fill(0);
    let length = usize::from(frame[packets::ETHERNET] & 0x0f) * 4;
    let header = &frame[packets::ETHERNET..packets::ETHERNET + length];
    let mut sum: u32 = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = u16::try_from(sum).expect("folded");
    packets::with_u16(frame, field, !sum)
}

/// What came from the server.
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
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let port = 1024 + NEXT.fetch_add(1, Ordering::Relaxed) % 60_000;
        SocketAddr::new(self.address, port)
    }

    /// A port of the server.
    #[must_use]
    pub fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.target, port)
    }

    /// The next segment of the server to `to`.
    fn receive(&self, to: SocketAddr, from: SocketAddr) -> Result<Received> {
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

fn dissect(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Received)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        etherparse::NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        etherparse::NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        etherparse::NetSlice::Arp(_) => return None,
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

/// One connection of a ghost.
#[derive(Debug)]
pub struct Ghost<'a> {
    haunt: &'a Haunt<'a>,
    /// The ghost's end.
    pub local: SocketAddr,
    /// The server's end.
    pub remote: SocketAddr,
    /// Sequence number of the ghost's next byte.
    pub next: u32,
    /// Sequence number of the server's next byte.
    pub expected: u32,
    /// What the ghost takes at once, in units of 16 bytes.
    pub window: u16,
    heard: Vec<u8>,
    /// Payload of the longest segment that came.
    pub longest: usize,
}

impl<'a> Ghost<'a> {
    /// Opens a connection to a port of the server. `mss`: what the ghost says it takes in a segment.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn connect(haunt: &'a Haunt<'a>, port: u16, mss: u16) -> Result<Self> {
        let mut ghost = Self {
            haunt,
            local: haunt.socket(),
            remote: haunt.server(port),
            // On its way through a session it wraps.
            next: u32::MAX - 40,
            expected: 0,
            window: WINDOW,
            heard: Vec::new(),
            longest: 0,
        };
        let [high, low] = mss.to_be_bytes();
        let options = [2, 4, high, low, 1, 3, 3, SCALE];
        let syn = Segment {
            flags: "S",
            options: &options,
            ..ghost.segment(b"")
        };
        ghost.put(&syn)?;
        let answer = haunt.receive(ghost.local, ghost.remote)?;
        ensure!(
            answer.tcp.syn && answer.tcp.ack,
            "instead of a SYN-ACK: {answer:?}"
        );
        ghost.next = ghost.next.wrapping_add(1);
        ghost.expected = answer.tcp.sequence_number.wrapping_add(1);
        ghost.put(&Segment {
            flags: "A",
            ..ghost.segment(b"")
        })?;
        Ok(ghost)
    }

    /// The segment that would come next, with this payload.
    #[must_use]
    pub fn segment<'b>(&self, payload: &'b [u8]) -> Segment<'b> {
        Segment {
            flags: "PA",
            sequence: self.next,
            acknowledgment: self.expected,
            window: self.window,
            options: &[],
            payload,
        }
    }

    /// Sends a segment; it counts for nothing here.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn put(&self, segment: &Segment<'_>) -> Result<()> {
        self.haunt.send(segment.frame(self.local, self.remote))
    }

    /// Sends bytes as a well-behaved client would.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.put(&self.segment(bytes))?;
        self.skip(bytes.len());
        Ok(())
    }

    /// Counts bytes as sent.
    pub fn skip(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("fewer than a sequence space");
        self.next = self.next.wrapping_add(bytes);
    }

    /// Waits for exactly these bytes, and acknowledges all that come.
    ///
    /// # Errors
    /// When others come, or none.
    pub fn expect(&mut self, bytes: &[u8]) -> Result<()> {
        while self.heard.len() < bytes.len() {
            let received = self
                .haunt
                .receive(self.local, self.remote)
                .with_context(|| format!("{:?} came", String::from_utf8_lossy(&self.heard)))?;
            self.take(&received)?;
        }
        let rest = self.heard.split_off(bytes.len());
        let heard = std::mem::replace(&mut self.heard, rest);
        ensure!(
            heard == bytes,
            "{:?} came instead of {:?}",
            String::from_utf8_lossy(&heard),
            String::from_utf8_lossy(bytes)
        );
        Ok(())
    }

    /// Takes what is new and in order of a segment.
    fn take(&mut self, received: &Received) -> Result<()> {
        ensure!(!received.tcp.rst, "the server reset the connection");
        if received.payload.is_empty() {
            return Ok(());
        }
        self.longest = self.longest.max(received.payload.len());
        let ahead = self.expected.wrapping_sub(received.tcp.sequence_number);
        if let Some(fresh) = received.payload.get(ahead as usize..) {
            self.heard.extend(fresh);
            let length = u32::try_from(fresh.len())?;
            self.expected = self.expected.wrapping_add(length);
        }
        self.put(&Segment {
            flags: "A",
            ..self.segment(b"")
        })
    }
}
