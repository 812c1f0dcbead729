//! The shape that nearly every packet has, read in one piece.

use super::{
    Cursor, Network, Packet, Tcp, Transport, Udp, View as _, ethernet, protocol, transport,
};

/// Where the IPv4 header is.
const IP: usize = ethernet::HEADER;
/// Where the transport header is.
const TRANSPORT: usize = IP + 20;
/// All that is read: up to the end of a TCP header without options.
const LENGTH: usize = TRANSPORT + transport::MIN_TCP_HEADER;
/// EtherType IPv4, version 4, header length 5 words; any type of service.
const SHAPE: [u8; 4] = [0x08, 0x00, 0x45, 0];
const SHAPE_MASK: [u8; 4] = [0xff, 0xff, 0xff, 0];
/// More fragments, fragment offset (RFC 791 §3.1).
const FRAGMENTED: u16 = 0x3fff;

/// A TCP segment or a UDP datagram that is whole, in IPv4 without options, in a frame without tags. `None`:
/// it has another shape or is malformed, which [`super::parse`] tells apart.
///
/// What it returns is what [`super::parse`] would find without it, by far fewer instructions.
#[inline(always)]
pub(super) fn parse(cursor: &impl Cursor) -> Option<Packet> {
    let frame = cursor.view::<LENGTH>(0)?;
    let shape = frame.ne32::<12>() & u32::from_ne_bytes(SHAPE_MASK);
    if shape != u32::from_ne_bytes(SHAPE) || frame.be16::<20>() & FRAGMENTED != 0 {
        return None;
    }
    let end = IP + usize::from(frame.be16::<16>());
    if !cursor.reaches(end) {
        return None;
    }
    let transport = match frame.u8::<23>() {
        protocol::TCP => {
            let flags = frame.u8::<47>();
            let payload = TRANSPORT + usize::from(frame.u8::<46>() >> 4) * 4;
            if payload < LENGTH || payload > end || !transport::plausible(flags) {
                return None;
            }
            Transport::Tcp(Tcp {
                at: TRANSPORT,
                source: frame.be16::<34>(),
                destination: frame.be16::<36>(),
                sequence: frame.be32::<38>(),
                acknowledgment: frame.be32::<42>(),
                flags,
                payload,
                end,
            })
        }
        protocol::UDP if end >= TRANSPORT + transport::UDP_HEADER => Transport::Udp(Udp {
            source: frame.be16::<34>(),
            destination: frame.be16::<36>(),
        }),
        _ => return None,
    };
    Some(Packet {
        network: Network::V4(IP),
        transport,
    })
}
