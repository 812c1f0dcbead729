//! Packets of control connections that are late, doubled, lost, or were there before the capture.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::packets::{self, Packet, outcome};

const PASSIVE: &str = "proftpd.ftplib-pasv.v4.pcap";

/// Ports of an IPv4 packet without options.
fn ports(packet: &Packet) -> (u16, u16) {
    let at = |at: usize| u16::from_be_bytes([packet.bytes[at], packet.bytes[at + 1]]);
    (at(34), at(36))
}

/// Whether a packet carries commands.
fn is_command(packet: &Packet) -> bool {
    ports(packet).1 == 21 && payload(packet) > 0
}

fn payload(packet: &Packet) -> usize {
    let total = u16::from_be_bytes([packet.bytes[16], packet.bytes[17]]);
    let header = usize::from(packet.bytes[46] >> 4) * 4;
    usize::from(total) - 20 - header
}

/// What is armed, refused and let through.
fn essence(outcome: &Value) -> [&Value; 5] {
    [
        &outcome["negotiations"],
        &outcome["refused"],
        &outcome["connections"],
        &outcome["sessions"][0]["negotiations"],
        &outcome["sessions"][0]["commands"],
    ]
}

#[test]
fn doubled_packets_change_nothing() -> Result<()> {
    let packets = packets::of(PASSIVE)?;
    let twice = |packet: &Packet| match ports(packet) {
        (21, _) | (_, 21) => vec![packet.clone(), packet.clone()],
        _ => vec![packet.clone()],
    };
    let doubled: Vec<_> = packets.iter().flat_map(twice).collect();
    let came = outcome(&packets::pcap(&doubled))?;
    assert_eq!(essence(&came), essence(&outcome(&packets::pcap(&packets))?));
    assert!(came["sessions"][0]["retransmitted"].as_u64() > Some(0));
    Ok(())
}

/// Each command in two segments, the second of which comes first: the kernel drops it, and the
/// client sends it again.
#[test]
fn commands_out_of_order_are_taken_in_order() -> Result<()> {
    let packets = packets::of(PASSIVE)?;
    let mut shuffled = Vec::new();
    for packet in &packets {
        if is_command(packet) && payload(packet) > 4 {
            let (first, second) = cut(packet, 3);
            shuffled.extend([second, first]);
        } else {
            shuffled.push(packet.clone());
        }
    }
    let came = outcome(&packets::pcap(&shuffled))?;
    assert_eq!(essence(&came), essence(&outcome(&packets::pcap(&packets))?));
    let dropped = came["drop"]["control-out-of-order"].as_u64();
    assert!(dropped > Some(0) && dropped == came["sessions"][0]["out_of_order"].as_u64());
    Ok(())
}

/// Both parts of a segment that is cut behind `length` bytes of its payload.
fn cut(packet: &Packet, length: usize) -> (Packet, Packet) {
    let payload_at = packet.bytes.len() - payload(packet);
    let at = payload_at + length;
    let (mut first, mut second) = (packet.clone(), packet.clone());
    first.bytes.truncate(at);
    second.bytes.drain(payload_at..at);
    for part in [&mut first, &mut second] {
        let total = (part.bytes.len() - 14) as u16;
        part.bytes[16..18].copy_from_slice(&total.to_be_bytes());
    }
    let sequence: [u8; 4] = second.bytes[38..42].try_into().expect("four bytes");
    let moved = u32::from_be_bytes(sequence).wrapping_add(length as u32);
    second.bytes[38..42].copy_from_slice(&moved.to_be_bytes());
    (first, second)
}

/// Whatever packet the capture began with or lacks, nothing is armed that was not before.
#[test]
fn what_is_lost_arms_nothing_new() -> Result<()> {
    let packets = packets::of(PASSIVE)?;
    let whole = outcome(&packets::pcap(&packets))?;
    let allowed = ports_armed(&whole);
    for lost in 0..packets.len() {
        let mut rest = packets.clone();
        rest.remove(lost);
        let came = ports_armed(&outcome(&packets::pcap(&rest))?);
        ensure!(
            came.iter().all(|port| allowed.contains(port)),
            "without packet {}: {came:?}",
            lost + 1
        );
        ensure!(
            came.len() + 1 >= allowed.len(),
            "without packet {}: only {came:?} of {allowed:?}",
            lost + 1
        );
    }
    Ok(())
}

/// A capture that begins while sessions are live: the next negotiation works.
#[test]
fn sessions_are_met_in_the_middle() -> Result<()> {
    let packets = packets::of(PASSIVE)?;
    let first_type = packets
        .iter()
        .position(|packet| is_command(packet) && packet.bytes.ends_with(b"TYPE A\r\n"))
        .expect("a command");
    let came = outcome(&packets::pcap(&packets[first_type..]))?;
    assert_eq!(came["sessions"][0]["adopted"], true);
    let whole = outcome(&packets::pcap(&packets))?;
    assert_eq!(ports_armed(&came), ports_armed(&whole));
    assert_eq!(came["drop"], whole["drop"]);
    Ok(())
}

fn ports_armed(outcome: &Value) -> Vec<u64> {
    let sessions = outcome["sessions"].as_array().into_iter().flatten();
    let rows = sessions.flat_map(|it| it["negotiations"].as_array().into_iter().flatten());
    rows.filter_map(|it| it["port"].as_u64()).collect()
}

/// The same SYN from another host, after its transfer, and before the reply that arms its tuple.
#[test]
fn what_nobody_negotiated_is_dropped() -> Result<()> {
    let packets = packets::of(PASSIVE)?;
    let syn = packets
        .iter()
        .position(|packet| packet.bytes[47] == 2 && ports(packet).1 != 21)
        .expect("a data connection");
    let mut stranger = packets[syn].clone();
    stranger.bytes[29] = 99;
    let mut later = packets[syn].clone();
    later.bytes[34] ^= 0x55;
    for (at, packet, reason) in [
        (syn, &stranger, "no-tuple"),
        (packets.len(), &later, "not-armed"),
        (1, &later, "not-armed"),
    ] {
        let mut with = packets.clone();
        with.insert(at, packet.clone());
        let came = outcome(&packets::pcap(&with))?;
        ensure!(came["drop"][reason] == 1, "{at}: {}", came["drop"]);
        let rows = came["connections"].as_array().into_iter().flatten();
        let dropped: Vec<_> = rows.filter(|row| row["verdict"] == "drop").collect();
        ensure!(
            dropped.len() == 1 && dropped[0]["reason"] == reason,
            "{dropped:?}"
        );
        ensure!(came["sessions"][0]["transfers"] == 5, "{at}");
    }
    Ok(())
}
