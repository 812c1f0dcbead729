//! What frames of a capture begin with, made into Ethernet: there is one parser, and it begins there.

use std::fmt;

use ftpfw_common::packet::ethernet;
use pcap_parser::Linktype;

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// What no parser takes for IP.
const ETHERTYPE_NONE: [u8; 2] = [0, 0];

/// A link-layer header that is understood (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// Linux "cooked" v1: 16 bytes, the EtherType last (`tcpdump -i any`).
    Cooked,
    /// Linux "cooked" v2: 20 bytes, the EtherType first.
    Cooked2,
    /// IPv4 or IPv6 without anything in front.
    Raw,
    /// BSD loopback: the address family in 4 bytes of some byte order.
    Loopback,
}

/// A link-layer header that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(Linktype);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "is not a capture of Ethernet: its packets are of link type {} (LINKTYPE_{}), and \
             Ethernet, Linux cooked, loopback and raw IP are understood",
            self.0.0,
            name(self.0)
        )
    }
}

/// The name of link types that people meet.
fn name(link: Linktype) -> String {
    match link.0 {
        105 => "IEEE802_11".to_owned(),
        127 => "IEEE802_11_RADIOTAP".to_owned(),
        147..=162 => "USER".to_owned(),
        189 | 220 => "USB_LINUX".to_owned(),
        187 | 201 => "BLUETOOTH_HCI_H4".to_owned(),
        195 | 230 => "IEEE802_15_4".to_owned(),
        9 => "PPP".to_owned(),
        _ => link.to_string(),
    }
}

impl Link {
    /// The link with this number.
    ///
    /// # Errors
    ///
    /// When its header is not understood.
    pub fn of(link: Linktype) -> Result<Self, Unsupported> {
        Ok(match link {
            Linktype::ETHERNET => Self::Ethernet,
            Linktype::LINUX_SLL => Self::Cooked,
            Linktype::LINUX_SLL2 => Self::Cooked2,
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => Self::Raw,
            Linktype::NULL | Linktype::LOOP => Self::Loopback,
            other => return Err(Unsupported(other)),
        })
    }

    /// Writes `data` as an Ethernet frame into `frame`.
    pub fn ethernet(self, data: &[u8], frame: &mut Vec<u8>) {
        frame.clear();
        let (ethertype, packet) = match self {
            Self::Ethernet => return frame.extend_from_slice(data),
            Self::Cooked => (two(data, 14), data.get(16..)),
            Self::Cooked2 => (two(data, 0), data.get(20..)),
            Self::Raw => (version(data), Some(data)),
            Self::Loopback => {
                let packet = data.get(4..).unwrap_or_default();
                (version(packet), Some(packet))
            }
        };
        frame.resize(ethernet::HEADER - ethertype.len(), 0);
        frame.extend_from_slice(&ethertype);
        frame.extend_from_slice(packet.unwrap_or_default());
    }
}

fn two(data: &[u8], at: usize) -> [u8; 2] {
    match data.get(at..at + 2) {
        Some(&[high, low]) => [high, low],
        _ => ETHERTYPE_NONE,
    }
}

/// The EtherType of what begins like an IP header.
fn version(packet: &[u8]) -> [u8; 2] {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => ETHERTYPE_IPV4,
        Some(6) => ETHERTYPE_IPV6,
        _ => ETHERTYPE_NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(link: Link, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![1, 2, 3];
        link.ethernet(data, &mut frame);
        frame
    }

    #[test]
    fn every_link_ends_in_an_ethernet_header() {
        let cooked = [&[0; 14], &[8, 0][..], &[0x45, 7]].concat();
        let cooked2 = [&[0x86, 0xdd], &[0; 18][..], &[0x60, 7]].concat();
        for (link, data, ends) in [
            (Link::Cooked, cooked.as_slice(), [8, 0, 0x45, 7]),
            (Link::Cooked2, &cooked2, [0x86, 0xdd, 0x60, 7]),
            (Link::Raw, &[0x45, 7], [8, 0, 0x45, 7]),
            (
                Link::Loopback,
                &[2, 0, 0, 0, 0x60, 7],
                [0x86, 0xdd, 0x60, 7],
            ),
        ] {
            let frame = frame(link, data);
            assert_eq!((frame.len(), &frame[12..]), (16, &ends[..]), "{link:?}");
        }
        assert_eq!(frame(Link::Ethernet, &[9, 8]), [9, 8]);
    }

    #[test]
    fn what_is_too_short_is_no_ip() {
        for link in [Link::Cooked, Link::Cooked2, Link::Raw, Link::Loopback] {
            for length in 0..4 {
                assert_eq!(frame(link, &[0; 4][..length])[12..14], ETHERTYPE_NONE);
            }
        }
    }
}
