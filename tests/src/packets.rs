//! Ethernet frames to test with: well-formed ones built, ill-formed ones made from them by hand.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    Ethernet2Header, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader,
};

/// Length of an Ethernet header without tags.
pub const ETHERNET: usize = 14;
/// Length of an IPv4 header without options.
pub const IPV4: usize = 20;
/// Length of an IPv6 header without extensions.
pub const IPV6: usize = 40;
/// EtherType of a VLAN tag (802.1Q).
pub const VLAN: u16 = 0x8100;
/// EtherType of a service tag (802.1ad).
pub const SERVICE_VLAN: u16 = 0x88a8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A frame with this EtherType and payload.
#[must_use]
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let header = Ethernet2Header {
        source: [2, 0x77, 0, 0, 0, 2],
        destination: [2, 0x77, 0, 0, 0, 1],
        ether_type: ether_type.into(),
    };
    [header.to_bytes().as_slice(), payload].concat()
}

/// A frame with an IP packet of that protocol.
///
/// # Panics
/// When the two addresses are not of one family.
#[must_use]
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = payload.len().try_into().expect("payload fits a packet");
            let protocol = IpNumber(protocol);
            let header = Ipv4Header::new(length, 64, protocol, from.octets(), to.octets());
            let header = header.expect("payload fits a packet");
            ethernet(
                ETHERTYPE_IPV4,
                &[header.to_bytes().as_slice(), payload].concat(),
            )
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: payload.len().try_into().expect("payload fits a packet"),
                next_header: IpNumber(protocol),
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
            };
            ethernet(
                ETHERTYPE_IPV6,
                &[header.to_bytes().as_slice(), payload].concat(),
            )
        }
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// What the segments of [`tcp`] acknowledge.
pub const ACKNOWLEDGED: u32 = 0x0202_0202;

/// A TCP segment; flags as tcpdump writes them: `S`, `A`, `F`, `R`, `P`, `U`, and `E`, `W` for ECN.
#[must_use]
pub fn tcp(from: SocketAddr, to: SocketAddr, flags: &str, payload: &[u8]) -> Vec<u8> {
    let has = |flag| flags.contains(flag);
    let mut header = TcpHeader::new(from.port(), to.port(), 0x0101_0101, 64_240);
    (header.syn, header.ack, header.fin) = (has('S'), has('A'), has('F'));
    if header.ack {
        header.acknowledgment_number = ACKNOWLEDGED;
    }
    (header.rst, header.psh, header.urg) = (has('R'), has('P'), has('U'));
    (header.ece, header.cwr) = (has('E'), has('W'));
    header.checksum = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
        }
        _ => panic!("{from} and {to} are of two families"),
    }
    .expect("payload fits a segment");
    ip(
        from.ip(),
        to.ip(),
        6,
        &[header.to_bytes().as_slice(), payload].concat(),
    )
}

/// A UDP datagram without checksum, which is legal over IPv4 and not looked at by a filter.
#[must_use]
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len())
        .try_into()
        .expect("payload fits a datagram");
    let (source_port, destination_port) = (from.port(), to.port());
    let header = UdpHeader {
        source_port,
        destination_port,
        length,
        checksum: 0,
    };
    ip(
        from.ip(),
        to.ip(),
        17,
        &[header.to_bytes().as_slice(), payload].concat(),
    )
}

/// The same frame behind VLAN tags, the outermost first.
#[must_use]
pub fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let mut out = addresses.to_vec();
    for tag in tags {
        out.extend(tag.to_be_bytes());
        out.extend(7_u16.to_be_bytes());
    }
    out.extend(rest);
    out
}

/// The same frame with one byte replaced.
#[must_use]
pub fn with_byte(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

/// The same frame with two bytes replaced, in network order.
#[must_use]
pub fn with_u16(mut frame: Vec<u8>, at: usize, value: u16) -> Vec<u8> {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
    frame
}

/// The first `length` bytes of a frame.
#[must_use]
pub fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// An untagged IPv4 frame with `words` × 4 bytes of options (no-operation) in its IP header.
#[must_use]
pub fn with_ipv4_options(frame: &[u8], words: u8) -> Vec<u8> {
    with_ipv4_option(frame, &vec![1; usize::from(words) * 4])
}

/// An untagged IPv4 frame with an option in its IP header, filled up to a multiple of four bytes with
/// "end of options".
///
/// # Panics
/// When it is longer than the 40 bytes that there is room for.
#[must_use]
pub fn with_ipv4_option(frame: &[u8], option: &[u8]) -> Vec<u8> {
    let (head, rest) = frame.split_at(ETHERNET + IPV4);
    let mut options = option.to_vec();
    options.resize(option.len().next_multiple_of(4), 0);
    let words = u8::try_from(5 + options.len() / 4).expect("options fit a header");
    assert!(words <= 15, "an IPv4 header has room for 40 bytes");
    let out = [head, &options, rest].concat();
    let total = u16::try_from(out.len() - ETHERNET).expect("options fit a packet");
    with_u16(with_byte(out, ETHERNET, 0x40 | words), ETHERNET + 2, total)
}

/// An untagged IPv4 frame as a fragment: `offset` in units of 8 bytes, `more` fragments follow. Its
/// payload is what it was: cut it, or take it for the middle of something.
#[must_use]
pub fn as_fragment(frame: Vec<u8>, offset: u16, more: bool) -> Vec<u8> {
    with_u16(frame, ETHERNET + 6, offset | if more { 0x2000 } else { 0 })
}

/// An untagged IPv4 frame with only `length` bytes of payload, its header telling so.
#[must_use]
pub fn with_ipv4_payload(frame: Vec<u8>, length: u16) -> Vec<u8> {
    let end = ETHERNET + IPV4 + usize::from(length);
    with_u16(cut(frame, end), ETHERNET + 2, 20 + length)
}

/// An extension header: its number, and its bytes from the third on; padded to a multiple of 8.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The number by which the header before names it.
    pub number: u8,
    /// Its second byte: a length in units that depend on the header.
    pub length: u8,
    /// What follows.
    pub body: Vec<u8>,
}

impl Extension {
    /// Hop-by-hop options (0), routing (43) or destination options (60) of 8 × `units` bytes.
    #[must_use]
    pub fn options(number: u8, units: u8) -> Self {
        // One PadN option fills it.
        let mut body = vec![0; usize::from(units) * 8 - 2];
        body[0] = 1;
        body[1] = units * 8 - 4;
        Self {
            number,
            length: units - 1,
            body,
        }
    }

    /// A fragment header; `offset` in units of 8 bytes.
    #[must_use]
    pub fn fragment(offset: u16, more: bool) -> Self {
        let field = (offset << 3 | u16::from(more)).to_be_bytes();
        Self {
            number: 44,
            length: 0,
            body: [field.as_slice(), &[0, 0, 0, 7]].concat(),
        }
    }

    /// An authentication header with a 12-byte check value (RFC 4302).
    #[must_use]
    pub fn authentication() -> Self {
        Self {
            number: 51,
            length: 4,
            body: vec![0; 22],
        }
    }
}

/// An untagged IPv6 frame with extension headers before its payload.
#[must_use]
pub fn with_extensions(frame: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let (head, rest) = frame.split_at(ETHERNET + IPV6);
    let next_header = ETHERNET + 6;
    let last = head[next_header];
    let mut out = head.to_vec();
    for (i, extension) in extensions.iter().enumerate() {
        let next = extensions.get(i + 1).map_or(last, |next| next.number);
        out.extend([next, extension.length]);
        out.extend(&extension.body);
    }
    out.extend(rest);
    let payload = u16::try_from(out.len() - ETHERNET - IPV6).expect("extensions fit a packet");
    let first = extensions.first().map_or(last, |first| first.number);
    with_u16(with_byte(out, next_header, first), ETHERNET + 4, payload)
}

/// An untagged IPv6 frame with only `length` bytes after its header, which tells so.
#[must_use]
pub fn with_ipv6_payload(frame: Vec<u8>, length: u16) -> Vec<u8> {
    with_u16(
        cut(frame, ETHERNET + IPV6 + usize::from(length)),
        ETHERNET + 4,
        length,
    )
}

#[cfg(test)]
mod tests {
    use etherparse::SlicedPacket;

    use super::*;

    fn ends(from: &str, to: &str) -> (SocketAddr, SocketAddr) {
        (from.parse().unwrap(), to.parse().unwrap())
    }

    fn ports(frame: &[u8]) -> (u16, u16) {
        match SlicedPacket::from_ethernet(frame)
            .unwrap()
            .transport
            .unwrap()
        {
            etherparse::TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_built_well_is_read_by_another_parser() {
        let (from, to) = ends("10.9.0.2:20000", "10.9.0.1:21");
        let frame = tcp(from, to, "S", b"");
        assert_eq!(ports(&frame), (20_000, 21));
        assert_eq!(ports(&tagged(&frame, &[VLAN])), (20_000, 21));
        assert_eq!(ports(&tagged(&frame, &[SERVICE_VLAN, VLAN])), (20_000, 21));
        assert_eq!(ports(&with_ipv4_options(&frame, 10)), (20_000, 21));

        let (from, to) = ends("[fd77::2]:20000", "[fd77::1]:21");
        let frame = tcp(from, to, "S", b"");
        assert_eq!(ports(&frame), (20_000, 21));
        let extensions = [
            Extension::options(0, 1),
            Extension::options(60, 2),
            Extension::authentication(),
            Extension::fragment(0, false),
        ];
        assert_eq!(ports(&with_extensions(&frame, &extensions)), (20_000, 21));
    }
}
