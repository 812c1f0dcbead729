//! Bytes of a frame → where its headers are and what they say.
//!
//! [`parse`] reads no further than the transport header and copies no address: most packets are
//! judged by their destination port alone. What it returns is sound for the filter:
//! a [`Transport::Tcp`] or [`Transport::Udp`] has a whole, well-formed header inside the frame and
//! is no later fragment.

pub mod cursor;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
mod plain;
pub mod transport;

pub use cursor::{Cursor, View};
pub use transport::{Tcp, Udp};

use crate::address::Address;

/// IP protocol numbers (IANA "Protocol Numbers").
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Authentication header (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
}

/// Where the IP header is and of which version. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4 header at this offset.
    V4(usize),
    /// IPv6 header at this offset.
    V6(usize),
}

/// A parsed IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The IP header.
    pub network: Network,
    /// What follows it.
    pub transport: Transport,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp(Udp),
    /// Something else.
    Other,
    /// A fragment that holds no transport header; its bytes are never read as ports.
    LaterFragment,
}

/// Why there is no [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The frame carries neither IPv4 nor IPv6.
    NotIp,
    /// A header that lies about itself or ends before it should.
    Malformed,
    /// A fragment that hides or would overwrite a transport header (RFC 1858 §3, RFC 3128).
    BadFragment,
    /// More IPv6 extension headers than [`ipv6::MAX_EXTENSIONS`], or more VLAN tags than two.
    TooManyHeaders,
}

/// Where the transport header would be, as an IP header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// IP protocol number.
    pub protocol: u8,
    /// Offset of the transport header from the start of the frame.
    pub at: usize,
    /// Offset of the end of the IP packet; never beyond the frame.
    pub end: usize,
    /// Offset of this fragment's payload in the unfragmented one, in bytes; 0 for a whole packet.
    pub fragment_offset: usize,
    /// Whether this is the first of several fragments.
    pub first_fragment: bool,
}

/// Parses the headers of the frame under `cursor`.
///
/// # Errors
/// See [`ParseError`]; each is a verdict of its own for the filter.
#[inline(always)]
pub fn parse(cursor: &impl Cursor) -> Result<Packet, ParseError> {
    match plain::parse(cursor) {
        Some(packet) => Ok(packet),
        None => parse_any(cursor),
    }
}

/// Of whatever shape.
#[inline(always)]
fn parse_any(cursor: &impl Cursor) -> Result<Packet, ParseError> {
    let (network, carried) = match ethernet::network(cursor)? {
        network @ Network::V4(at) => (network, ipv4::carried(cursor, at)?),
        network @ Network::V6(at) => (network, ipv6::carried(cursor, at)?),
    };
    let transport = transport::parse(cursor, &carried)?;
    Ok(Packet { network, transport })
}

impl Network {
    /// The source address.
    ///
    /// [`Address::UNSPECIFIED`], which no tuple, socket or flow has, for an IPv6 packet that carries
    /// a v4-mapped one: no stack accepts that from a wire, and it could pass for a v4 client.
    #[inline(always)]
    pub fn source(self, cursor: &impl Cursor) -> Address {
        match self {
            Self::V4(at) => v4(cursor, at + 12),
            Self::V6(at) => v6(cursor, at + 8),
        }
    }

    /// The destination address; see [`Network::source`].
    #[inline(always)]
    pub fn destination(self, cursor: &impl Cursor) -> Address {
        match self {
            Self::V4(at) => v4(cursor, at + 16),
            Self::V6(at) => v6(cursor, at + 24),
        }
    }
}

#[inline(always)]
fn v4(cursor: &impl Cursor, at: usize) -> Address {
    match cursor.view::<4>(at) {
        Some(view) => Address::v4_word(view.ne32::<0>()),
        // Cannot happen: the header was read whole.
        None => Address::UNSPECIFIED,
    }
}

#[inline(always)]
fn v6(cursor: &impl Cursor, at: usize) -> Address {
    let Some(view) = cursor.view::<16>(at) else {
        return Address::UNSPECIFIED;
    };
    let address = Address::from_words([
        view.ne32::<0>(),
        view.ne32::<4>(),
        view.ne32::<8>(),
        view.ne32::<12>(),
    ]);
    if address.is_v4() {
        Address::UNSPECIFIED
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of 60 bytes: IPv4, and behind it a TCP or a UDP header that ends where the packet does.
    fn frame(protocol: u8) -> [u8; 60] {
        let mut frame = [0; 60];
        frame[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 40]);
        frame[23] = protocol;
        frame[26..34].copy_from_slice(&[10, 0, 0, 9, 10, 0, 0, 1]);
        frame[34..38].copy_from_slice(&[0x9c, 0x40, 0xc3, 0x50]);
        frame[46..48].copy_from_slice(&[0x50, 0x02]);
        frame
    }

    /// Every value of every byte, alone and with its neighbour's highest, and every length.
    #[test]
    fn the_short_way_finds_what_the_long_one_does() {
        let (mut short, mut long) = (0, 0);
        let mut compare = |frame: &[u8]| match plain::parse(&frame) {
            Some(packet) => {
                short += 1;
                assert_eq!(parse_any(&frame), Ok(packet), "{frame:x?}");
            }
            None => long += 1,
        };
        for base in [frame(protocol::TCP), frame(protocol::UDP)] {
            (0..=base.len()).for_each(|length| compare(&base[..length]));
            for at in 0..base.len() - 1 {
                for value in 0..=u8::MAX {
                    let mut changed = base;
                    changed[at] = value;
                    compare(&changed);
                    changed[at + 1] = u8::MAX;
                    compare(&changed);
                }
            }
        }
        assert!(short > 10_000 && long > 10_000, "{short} {long}");
    }
}
