//! TCP (RFC 9293) and UDP (RFC 768) headers, and what fragmentation must not do to them.

use super::{Carried, Cursor, ParseError, Transport, View as _, protocol};

/// Bits of the flags byte of a TCP header (RFC 9293 §3.1).
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment field counts.
    pub const ACK: u8 = 0x10;
}

pub(super) const MIN_TCP_HEADER: usize = 20;
pub(super) const UDP_HEADER: usize = 8;

/// A whole TCP header. Ports in host byte order, offsets from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Offset of the TCP header.
    pub at: usize,
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number of the first payload byte (or of the SYN).
    pub sequence: u32,
    /// Next sequence number expected from the other end, if [`flag::ACK`] is set.
    pub acknowledgment: u32,
    /// Flags byte.
    pub flags: u8,
    /// Offset of the payload; at most `end`.
    pub payload: usize,
    /// Offset of the end of the payload: padding of short frames is not counted.
    pub end: usize,
}

impl Tcp {
    /// Whether all flags of `mask` are set.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, mask: u8) -> bool {
        self.flags & mask == mask
    }

    /// A SYN that opens a connection (not the SYN-ACK that answers one).
    #[inline(always)]
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.flags & (flag::SYN | flag::ACK) == flag::SYN
    }

    /// Payload bytes.
    #[inline(always)]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        self.end - self.payload
    }
}

/// A whole UDP header, ports in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

#[inline(always)]
pub(super) fn parse(cursor: &impl Cursor, carried: &Carried) -> Result<Transport, ParseError> {
    match carried.protocol {
        protocol::TCP if carried.fragment_offset != 0 => later(carried, MIN_TCP_HEADER),
        protocol::UDP if carried.fragment_offset != 0 => later(carried, UDP_HEADER),
        _ if carried.fragment_offset != 0 => Ok(Transport::LaterFragment),
        protocol::TCP => tcp(cursor, carried),
        protocol::UDP => udp(cursor, carried),
        _ => Ok(Transport::Other),
    }
}

/// RFC 3128: a fragment that starts inside the transport header could rewrite it at reassembly.
#[inline(always)]
const fn later(carried: &Carried, header: usize) -> Result<Transport, ParseError> {
    if carried.fragment_offset < header {
        Err(ParseError::BadFragment)
    } else {
        Ok(Transport::LaterFragment)
    }
}

/// A header that does not fit: RFC 1858 §3 if it is spread over fragments, else malformed.
#[inline(always)]
const fn cut(carried: &Carried) -> ParseError {
    if carried.first_fragment {
        ParseError::BadFragment
    } else {
        ParseError::Malformed
    }
}

#[inline(always)]
fn tcp(cursor: &impl Cursor, carried: &Carried) -> Result<Transport, ParseError> {
    if carried.at + MIN_TCP_HEADER > carried.end {
        return Err(cut(carried));
    }
    let header = cursor
        .view::<MIN_TCP_HEADER>(carried.at)
        .ok_or(ParseError::Malformed)?;
    let flags = header.u8::<13>();
    let header_length = usize::from(header.u8::<12>() >> 4) * 4;
    if header_length < MIN_TCP_HEADER || !plausible(flags) {
        return Err(ParseError::Malformed);
    }
    if carried.at + header_length > carried.end {
        return Err(cut(carried));
    }
    Ok(Transport::Tcp(Tcp {
        at: carried.at,
        source: header.be16::<0>(),
        destination: header.be16::<2>(),
        sequence: header.be32::<4>(),
        acknowledgment: header.be32::<8>(),
        flags,
        payload: carried.at + header_length,
        end: carried.end,
    }))
}

/// RFC 9293 §3.10: every segment has SYN, RST or ACK; no stack sends SYN with FIN or RST, scanners do.
#[inline(always)]
pub(super) const fn plausible(flags: u8) -> bool {
    PLAUSIBLE >> (flags & ALL_OF_THEM) & 1 != 0
}

/// FIN, SYN, RST, PSH, ACK.
const ALL_OF_THEM: u8 = 0x1f;

/// A bit for each combination: one load where a CPU would have to guess four branches.
const PLAUSIBLE: u32 = {
    let (mut bits, mut flags) = (0, 0);
    while flags <= ALL_OF_THEM {
        let good = if flags & flag::SYN != 0 {
            flags & (flag::FIN | flag::RST) == 0
        } else {
            flags & (flag::ACK | flag::RST) != 0
        };
        bits |= (good as u32) << flags;
        flags += 1;
    }
    bits
};

#[inline(always)]
fn udp(cursor: &impl Cursor, carried: &Carried) -> Result<Transport, ParseError> {
    if carried.at + UDP_HEADER > carried.end {
        return Err(cut(carried));
    }
    let header = cursor.view::<4>(carried.at).ok_or(ParseError::Malformed)?;
    Ok(Transport::Udp(Udp {
        source: header.be16::<0>(),
        destination: header.be16::<2>(),
    }))
}
