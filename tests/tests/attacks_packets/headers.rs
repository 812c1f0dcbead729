//! ATTACKS 33, 39: where the ports are, and headers that lie about it.

use std::io::Write as _;

use anyhow::{Result, ensure};
use ftpfw_tests::ghost::with_checksum;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::packets::{
    ETHERNET, Extension, SERVICE_VLAN, VLAN, tagged, with_byte, with_extensions, with_ipv4_options,
    with_u16,
};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::heard;

use crate::{MSS, on_an_armed_port};

#[test]
fn a33_options_of_ipv4() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        let with_options = |port| with_checksum(with_ipv4_options(&sender.syn(port), 10));
        sender.haunt.send(with_options(OTHER))?;
        sender.dropped(&[("not-armed", 1)])?;
        sender.haunt.send(with_options(PORT))?;
        let opened = sender.opened()?;
        ensure!(opened == [PORT], "behind options: {opened:?}");
        Ok(())
    })
}

#[test]
fn a33_extensions_of_ipv6() -> Result<()> {
    on_an_armed_port(Family::V6, |sender| {
        let extensions = [Extension::options(0, 1), Extension::options(60, 1)];
        let extended = |port| with_extensions(&sender.syn(port), &extensions);
        sender.haunt.send(extended(OTHER))?;
        sender.dropped(&[("not-armed", 1)])?;
        sender.haunt.send(extended(PORT))?;
        let opened = sender.opened()?;
        ensure!(opened == [PORT], "behind extensions: {opened:?}");
        Ok(())
    })
}

#[test]
fn a33_commands_behind_options() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    let frame = ghost.segment(b"EPSV\r\n").frame(ghost.local, ghost.remote);
    haunt.send(with_checksum(with_ipv4_options(&frame, 10)))?;
    ghost.skip(6);
    heard(&mut server, b"EPSV\r\n")?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.armed()
}

/// The server has no VLAN, so its stack drops what passes: the verdicts tell.
#[test]
fn a33_vlan_tags() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        let admitted = sender.before.pass["tuple"];
        for tags in [[VLAN, VLAN], [SERVICE_VLAN, VLAN]] {
            sender.haunt.send(tagged(&sender.syn(PORT), &tags))?;
            sender.haunt.send(tagged(&sender.syn(OTHER), &tags))?;
        }
        sender.dropped(&[("not-armed", 2)])?;
        let after = sender.scene.firewall.stats()?.pass["tuple"];
        ensure!(after == admitted + 2, "{} of 2 admitted", after - admitted);
        Ok(())
    })
}

/// Those of VLAN 0 have but a priority: every stack takes them off, however many there are.
#[test]
fn a33_priority_tags() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        let prioritized = |port, count: usize| {
            let frame = tagged(&sender.syn(port), &vec![VLAN; count]);
            let control = |frame, tag: usize| with_u16(frame, ETHERNET + 4 * tag, 0xe000);
            (0..count).fold(frame, control)
        };
        // The switch takes the first one off, as many a NIC does: the kernel has it beside the frame.
        for count in 1..=3 {
            sender.haunt.send(prioritized(OTHER, count))?;
        }
        sender.dropped(&[("not-armed", 3)])?;
        for count in 4..=6 {
            sender.haunt.send(prioritized(OTHER, count))?;
            sender.haunt.send(prioritized(PORT, count))?;
        }
        sender.dropped(&[("not-armed", 3), ("too-many-headers", 6)])?;
        sender.haunt.send(prioritized(PORT, 3))?;
        let opened = sender.opened()?;
        ensure!(opened == [PORT], "behind priority tags: {opened:?}");
        Ok(())
    })
}

#[test]
fn a39_bogus_ip_header() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        let mut sent = 0;
        let mut send = |frame| {
            sent += 1;
            sender.haunt.send(frame)
        };
        for words in 0..=4 {
            send(with_byte(sender.syn(PORT), ETHERNET, 0x40 | words))?;
        }
        for version in [0, 1, 5, 6, 15] {
            send(with_byte(sender.syn(PORT), ETHERNET, version << 4 | 5))?;
        }
        // IHL 15 where there are no options; a total length beyond the frame, or inside a header.
        send(with_byte(sender.syn(PORT), ETHERNET, 0x4f))?;
        for total in [0, 19, 20, 39, 45, 1500, 65_535] {
            send(with_checksum(with_u16(
                sender.syn(PORT),
                ETHERNET + 2,
                total,
            )))?;
        }
        sender.dropped(&[("malformed", sent)])
    })
}

#[test]
fn a39_bogus_ipv6_header() -> Result<()> {
    on_an_armed_port(Family::V6, |sender| {
        let mut sent = 0;
        let mut send = |frame| {
            sent += 1;
            sender.haunt.send(frame)
        };
        for version in [0, 4, 7, 15] {
            send(with_byte(sender.syn(PORT), ETHERNET, version << 4))?;
        }
        for length in [0, 1, 19, 25, 1500, 65_535] {
            send(with_u16(sender.syn(PORT), ETHERNET + 4, length))?;
        }
        // The TCP header read as an extension header goes on beyond the packet.
        for number in [0, 43, 51, 60] {
            send(with_byte(sender.syn(PORT), ETHERNET + 6, number))?;
        }
        sender.dropped(&[("malformed", sent)])
    })
}
