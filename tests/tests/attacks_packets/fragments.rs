//! ATTACKS 30-32: fragments (RFC 1858, RFC 3128).

use std::io::Write as _;

use anyhow::{Result, ensure};
use ftpfw_tests::ghost::with_checksum;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::packets::{ETHERNET, IPV4, as_fragment, with_u16};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::heard;

use crate::{MSS, on_an_armed_port};

/// The IPv4 frame in two fragments, the first with `length` bytes of payload.
fn in_two(frame: &[u8], length: u16) -> [Vec<u8>; 2] {
    let at = ETHERNET + IPV4;
    let split = at + usize::from(length);
    let part = |payload: &[u8], offset, more| {
        let part = [&frame[..at], payload].concat();
        let total = u16::try_from(part.len() - ETHERNET).expect("shorter than the whole");
        with_checksum(as_fragment(
            with_u16(part, ETHERNET + 2, total),
            offset,
            more,
        ))
    };
    [
        part(&frame[at..split], 0, true),
        part(&frame[split..], length / 8, false),
    ]
}

#[test]
fn a30_tiny_fragment() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        for length in [8, 16] {
            for fragment in in_two(&sender.syn(PORT), length) {
                sender.haunt.send(fragment)?;
            }
        }
        sender.dropped(&[("bad-fragment", 4)])?;
        // Cut behind the whole header it is let through, and put together.
        let late = sender.scene.firewall.stats()?.pass["later-fragment"];
        for fragment in in_two(&sender.frame(PORT, "S", b"12345678"), 24) {
            sender.haunt.send(fragment)?;
        }
        let opened = sender.opened()?;
        ensure!(opened == [PORT], "in honest fragments: {opened:?}");
        let after = sender.scene.firewall.stats()?.pass["later-fragment"];
        ensure!(after == late + 1, "the second fragment was not seen as one");
        Ok(())
    })
}

#[test]
fn a31_fragment_as_tcp() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        let before = sender.before.pass["later-fragment"];
        let admitted = sender.before.pass["tuple"];
        // The middle of something, which reads as a SYN to an armed port, or to none.
        for port in [PORT, OTHER, 21] {
            let fragment = as_fragment(sender.syn(port), 3, port == 21);
            sender.haunt.send(with_checksum(fragment))?;
        }
        sender.dropped(&[])?;
        let after = sender.scene.firewall.stats()?;
        let passed = after.pass["later-fragment"] - before;
        ensure!(passed == 3, "{passed} of 3 were seen as later fragments");
        ensure!(after.pass["tuple"] == admitted, "read as ports");
        Ok(())
    })
}

#[test]
fn a32_header_rewrite() -> Result<()> {
    on_an_armed_port(Family::V4, |sender| {
        // The first is harmless: a SYN to port 80. The second would turn it into one to OTHER.
        let [first, _] = in_two(&sender.frame(80, "S", b"12345678"), 24);
        sender.haunt.send(first)?;
        for offset in [1, 2] {
            let frame = as_fragment(sender.syn(OTHER), offset, false);
            sender.haunt.send(with_checksum(frame))?;
        }
        sender.dropped(&[("bad-fragment", 2)])
    })
}

/// What is only the beginning of a segment, TCP may never see: no command is read from it.
#[test]
fn a32_fragmented_command() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    let before = scene.firewall.stats()?;
    // The fragment ends behind `EPSV` and its line end; the rest never comes.
    let segment = ghost.segment(b"XX\r\nNOOP\r\nEPSV\r\n12345678901234567890");
    let [first, _] = in_two(&segment.frame(ghost.local, ghost.remote), 40);
    haunt.send(first)?;
    haunt.answers()?;
    ghost.say(b"CWD x\r\n")?;
    heard(&mut server, b"CWD x\r\n")?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.nothing_since(&before, &["no-command"])?;
    scene.negotiate_by(&mut ghost, &mut server)
}
