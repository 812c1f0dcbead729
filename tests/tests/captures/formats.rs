//! The same packets in every file format and behind every link layer come to the same.

use anyhow::Result;

use crate::packets::{self, Packet, outcome};

const NAMES: [&str; 3] = [
    "proftpd.ftplib-pasv.v4.pcap",
    "pyftpdlib.curl-eprt.v6.pcap",
    "unftp.ftplib-tls.v4.pcap",
];
const ETHERNET: u32 = 1;

/// A file under construction, in some byte order.
struct Writer {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Writer {
    fn word(&mut self, word: u32) {
        self.bytes.extend(if self.big_endian {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        });
    }

    fn half(&mut self, half: u16) {
        self.bytes.extend(if self.big_endian {
            half.to_be_bytes()
        } else {
            half.to_le_bytes()
        });
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn pcap(packets: &[Packet], big_endian: bool, nanoseconds: bool, link: u32) -> Vec<u8> {
    let mut file = Writer {
        big_endian,
        bytes: Vec::new(),
    };
    file.word(if nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    });
    file.half(2);
    file.half(4);
    for word in [0, 0, 0x4_0000, link] {
        file.word(word);
    }
    for packet in packets {
        file.word(packet.seconds);
        file.word(if nanoseconds {
            packet.nanoseconds
        } else {
            packet.nanoseconds / 1000
        });
        file.word(packet.bytes.len() as u32);
        file.word(packet.bytes.len() as u32);
        file.bytes.extend(&packet.bytes);
    }
    file.bytes
}

/// A section with one interface. `resolution`: the exponent of `if_tsresol`; `None`: no option, µs.
fn pcapng(packets: &[Packet], big_endian: bool, resolution: Option<u8>) -> Vec<u8> {
    let mut file = Writer {
        big_endian,
        bytes: Vec::new(),
    };
    for word in [0x0a0d_0d0a, 28, 0x1a2b_3c4d] {
        file.word(word);
    }
    file.half(1);
    file.half(0);
    for word in [u32::MAX, u32::MAX, 28] {
        file.word(word);
    }
    let length = if resolution.is_some() { 32 } else { 20 };
    file.word(1);
    file.word(length);
    file.half(ETHERNET as u16);
    file.half(0);
    file.word(0);
    if let Some(exponent) = resolution {
        file.half(9);
        file.half(1);
        file.padded(&[exponent]);
        file.word(0);
    }
    file.word(length);
    let units = 10_u64.pow(resolution.unwrap_or(6).into());
    for packet in packets {
        let part = u64::from(packet.nanoseconds) * units / 1_000_000_000;
        let at = u64::from(packet.seconds) * units + part;
        let length = 32 + packet.bytes.len().next_multiple_of(4) as u32;
        for word in [6, length, 0, (at >> 32) as u32, at as u32] {
            file.word(word);
        }
        file.word(packet.bytes.len() as u32);
        file.word(packet.bytes.len() as u32);
        file.padded(&packet.bytes);
        file.word(length);
    }
    file.bytes
}

/// The packets with `front` instead of their Ethernet header; it gets the EtherType.
fn relinked(packets: &[Packet], front: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Packet> {
    let relink = |packet: &Packet| Packet {
        bytes: [&front(&packet.bytes[12..14]), &packet.bytes[14..]].concat(),
        ..packet.clone()
    };
    packets.iter().map(relink).collect()
}

#[test]
fn byte_order_and_resolution_change_nothing() -> Result<()> {
    for name in NAMES {
        let packets = packets::of(name)?;
        let expected = outcome(&packets::pcap(&packets))?;
        for big_endian in [false, true] {
            for nanoseconds in [false, true] {
                let file = pcap(&packets, big_endian, nanoseconds, ETHERNET);
                assert_eq!(
                    outcome(&file)?,
                    expected,
                    "{name} {big_endian} {nanoseconds}"
                );
            }
            for resolution in [None, Some(6), Some(9)] {
                let file = pcapng(&packets, big_endian, resolution);
                assert_eq!(
                    outcome(&file)?,
                    expected,
                    "{name} {big_endian} {resolution:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn several_sections_and_interfaces_are_read() -> Result<()> {
    let packets = packets::of(NAMES[0])?;
    let (first, second) = packets.split_at(packets.len() / 2);
    let file = [pcapng(first, false, Some(9)), pcapng(second, true, None)].concat();
    assert_eq!(outcome(&file)?, outcome(&packets::pcap(&packets))?);
    Ok(())
}

#[test]
fn the_link_layer_changes_nothing() -> Result<()> {
    for name in NAMES {
        let packets = packets::of(name)?;
        let expected = outcome(&packets::pcap(&packets))?;
        let tagged = |tags: &[u16]| {
            relinked(&packets, |ethertype| {
                let mut front = vec![2; 12];
                for tag in tags {
                    front.extend(tag.to_be_bytes());
                    front.extend([0, 7]);
                }
                front.extend(ethertype);
                front
            })
        };
        let cooked = |ethertype: &[u8]| [&[0; 14], ethertype].concat();
        let cooked2 = |ethertype: &[u8]| [ethertype, &[0; 18]].concat();
        for (how, link, packets) in [
            ("802.1Q", ETHERNET, tagged(&[0x8100])),
            ("802.1ad", ETHERNET, tagged(&[0x88a8, 0x8100])),
            ("SLL", 113, relinked(&packets, cooked)),
            ("SLL2", 276, relinked(&packets, cooked2)),
            ("raw", 101, relinked(&packets, |_| Vec::new())),
            ("loopback", 0, relinked(&packets, |_| vec![2, 0, 0, 0])),
            (
                "with FCS",
                1 | 0x2400_0000,
                relinked(&packets, |ethertype| [&[2; 12], ethertype].concat()),
            ),
        ] {
            let file = pcap(&packets, false, true, link);
            assert_eq!(outcome(&file)?, expected, "{name} {how}");
        }
    }
    Ok(())
}

/// A snapshot length cuts the data; its headers, and so its verdicts, are there.
#[test]
fn packets_that_are_cut_short_are_judged_by_their_headers() -> Result<()> {
    let packets = packets::of(NAMES[0])?;
    let mut file = packets::pcap(&[]);
    for packet in &packets {
        let length = packet.bytes.len();
        // Data connections only: what is cut off a control connection is lost.
        let is_control = [&packet.bytes[34..36], &packet.bytes[36..38]].contains(&&[0, 21][..]);
        let captured = if is_control { length } else { length.min(60) };
        for word in [
            packet.seconds,
            packet.nanoseconds,
            captured as u32,
            length as u32,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&packet.bytes[..captured]);
    }
    let (mut came, expected) = (outcome(&file)?, outcome(&packets::pcap(&packets))?);
    assert!(came["cut_short"].as_u64() > Some(0));
    came["cut_short"] = 0.into();
    assert_eq!(came, expected);
    Ok(())
}
