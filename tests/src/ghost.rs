//! A TCP peer without a kernel: every number in its segments is the test's to choose.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use etherparse::TcpHeader;

use crate::haunt::{Haunt, Received};
use crate::packets;
use crate::scripted::heard;

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
        Self::connect_saying(haunt, port, mss, 0, b"")
    }

    /// The same, with bytes in the last segment of the handshake: `ahead` bytes behind the first, or the first
    /// ones, which count as sent.
    ///
    /// # Errors
    /// As [`Ghost::connect`].
    pub fn connect_saying(
        haunt: &'a Haunt<'a>,
        port: u16,
        mss: u16,
        ahead: u32,
        bytes: &[u8],
    ) -> Result<Self> {
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
            sequence: ghost.next.wrapping_add(ahead),
            ..ghost.segment(bytes)
        })?;
        if ahead == 0 {
            ghost.skip(bytes.len());
        }
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
    /// As [`Haunt::send`].
    pub fn put(&self, segment: &Segment<'_>) -> Result<()> {
        self.haunt.send(segment.frame(self.local, self.remote))
    }

    /// Sends bytes as a well-behaved client would.
    ///
    /// # Errors
    /// As [`Haunt::send`].
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

    /// Says a line, which the server must hear, and hears the line that it replies. CR LF is added.
    ///
    /// # Errors
    /// When one of them hears something else.
    pub fn exchange(&mut self, server: &mut TcpStream, command: &str, reply: &str) -> Result<()> {
        let [command, reply] = [command, reply].map(|line| format!("{line}\r\n"));
        self.say(command.as_bytes())?;
        heard(server, command.as_bytes())?;
        server.write_all(reply.as_bytes())?;
        self.expect(reply.as_bytes())
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
