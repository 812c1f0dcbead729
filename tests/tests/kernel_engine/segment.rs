//! Segments of one control connection, and the frames that carry them.

use std::{fmt, net::IpAddr};

use etherparse::TcpHeader;
use ftpfw_common::{abi::event::Direction, stream::Sequence};
use ftpfw_tests::packets;

use crate::world::Connection;

const TCP: u8 = 6;

/// How a segment ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Fin,
    Reset,
}

/// What one end sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    pub direction: Direction,
    pub sequence: Sequence,
    pub acknowledgment: Sequence,
    pub bytes: Vec<u8>,
    pub end: End,
    /// Its checksum is wrong.
    pub damaged: bool,
}

impl Segment {
    pub fn length(&self) -> u32 {
        self.bytes.len().try_into().expect("a segment is short")
    }

    /// Sequence number behind its last byte.
    pub fn next(&self) -> Sequence {
        self.sequence.plus(self.length())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.direction {
            Direction::Client => 'c',
            Direction::Server => 's',
        };
        let text = self.bytes.escape_ascii();
        let (at, acknowledged) = (self.sequence.0, self.acknowledgment.0);
        write!(f, "{who} {text}   @{at} ack {acknowledged}")?;
        match self.end {
            End::Open => {}
            End::Fin => write!(f, " FIN")?,
            End::Reset => write!(f, " RST")?,
        }
        f.write_str(if self.damaged { " (damaged)" } else { "" })
    }
}

impl Segment {
    /// The frame that carries it.
    pub fn frame(&self, connection: &Connection) -> Vec<u8> {
        let (from, to) = match self.direction {
            Direction::Client => (connection.client, connection.server),
            Direction::Server => (connection.server, connection.client),
        };
        let mut header = TcpHeader::new(from.port(), to.port(), self.sequence.0, 64_240);
        (header.ack, header.psh) = (true, !self.bytes.is_empty());
        header.acknowledgment_number = self.acknowledgment.0;
        (header.fin, header.rst) = (self.end == End::Fin, self.end == End::Reset);
        let sum = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header.calc_checksum_ipv4_raw(from.octets(), to.octets(), &self.bytes)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header.calc_checksum_ipv6_raw(from.octets(), to.octets(), &self.bytes)
            }
            _ => unreachable!("both ends are of one family"),
        };
        header.checksum = sum.expect("a segment is short");
        if self.damaged {
            header.checksum ^= 0x0100;
        }
        let packet = [header.to_bytes().as_slice(), &self.bytes].concat();
        packets::ip(from.ip(), to.ip(), TCP, &packet)
    }
}
