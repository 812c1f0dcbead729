//! Like ATTACKS 20: segments that TCP, or IP before it, throws away. Whoever reads a command from one
//! believes what the server never heard.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::ghost::{Ghost, Segment, with_checksum};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::packets::{ETHERNET, IPV4, VLAN, tagged, with_ipv4_options, with_u16};
use ftpfw_tests::report::Tuple;
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::scripted::heard;

const COMMAND: &[u8] = b"EPSV\r\n";

/// The server throws away the frame that `forge` makes of [`COMMAND`], and hears CWD in its place: a
/// 229 is then no answer to anything.
fn thrown_away(forge: impl FnOnce(&Ghost<'_>) -> Vec<u8>) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, 1400)?;
    let before = scene.firewall.stats()?;
    haunt.send(forge(&ghost))?;
    haunt.answers()?;
    server.set_nonblocking(true)?;
    ensure!(
        server.peek(&mut [0]).is_err(),
        "the server has heard it: this is no such segment"
    );
    server.set_nonblocking(false)?;
    ghost.say(b"CWD x\r\n")?;
    heard(&mut server, b"CWD x\r\n")?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.nothing_since(&before, &["no-command"])?;
    scene
        .negotiate_by(&mut ghost, &mut server)
        .context("an honest negotiation")
}

/// The command as it should be.
fn honest(ghost: &Ghost<'_>) -> Vec<u8> {
    ghost.segment(COMMAND).frame(ghost.local, ghost.remote)
}

/// The command with other flags, or another acknowledgment.
fn forged(ghost: &Ghost<'_>, flags: &str, acknowledged_ahead: u32) -> Vec<u8> {
    let segment = Segment {
        flags,
        acknowledgment: ghost.expected.wrapping_add(acknowledged_ahead),
        ..ghost.segment(COMMAND)
    };
    segment.frame(ghost.local, ghost.remote)
}

#[test]
fn a20_no_acknowledgment() -> Result<()> {
    thrown_away(|ghost| forged(ghost, "P", 0))
}

#[test]
fn a20_syn() -> Result<()> {
    thrown_away(|ghost| forged(ghost, "SPA", 0))
}

#[test]
fn a20_rst_with_a_payload() -> Result<()> {
    thrown_away(|ghost| {
        let segment = Segment {
            flags: "RPA",
            sequence: ghost.next.wrapping_add(1),
            ..ghost.segment(COMMAND)
        };
        segment.frame(ghost.local, ghost.remote)
    })
}

#[test]
fn a20_acknowledges_what_was_not_sent() -> Result<()> {
    thrown_away(|ghost| forged(ghost, "PA", 100_000))
}

#[test]
fn a20_acknowledges_what_is_long_over() -> Result<()> {
    thrown_away(|ghost| forged(ghost, "PA", (1_u32 << 30).wrapping_neg()))
}

#[test]
fn a20_signed_for_a_socket_without_a_key() -> Result<()> {
    // RFC 2385: kind 19, 18 bytes; padded.
    let mut option = [0; 20];
    option[..2].copy_from_slice(&[19, 18]);
    thrown_away(|ghost| {
        let segment = Segment {
            options: &option,
            ..ghost.segment(COMMAND)
        };
        segment.frame(ghost.local, ghost.remote)
    })
}

#[test]
fn a20_wrong_checksum_of_the_ip_header() -> Result<()> {
    thrown_away(|ghost| with_u16(honest(ghost), ETHERNET + 10, 0x1234))
}

#[test]
fn a20_source_route() -> Result<()> {
    thrown_away(|ghost| {
        // Loose source route (RFC 791 §3.1) of one address, over; two words of options.
        let mut frame = with_ipv4_options(&honest(ghost), 2);
        let options = ETHERNET + IPV4;
        frame[options..options + 8].copy_from_slice(&[131, 7, 4, 10, 0, 0, 1, 0]);
        with_checksum(frame)
    })
}

#[test]
fn a20_of_a_vlan_that_the_server_has_not() -> Result<()> {
    thrown_away(|ghost| tagged(&honest(ghost), &[VLAN]))
}

/// What only the follower heard arms nothing: a PORT is withdrawn as soon as TCP shows that it wants
/// other bytes in its place.
#[test]
fn a20_of_a_port_command() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, 1400)?;
    let eprt = format!("EPRT |1|{}|40000|\r\n", ghost.local.ip());
    let forged = Segment {
        flags: "SPA",
        ..ghost.segment(eprt.as_bytes())
    };
    haunt.send(forged.frame(ghost.local, ghost.remote))?;
    let mode = |tuples: &[Tuple]| matches!(tuples, [tuple] if tuple.mode == "active");
    scene.firewall.wait_for_tuples("the forged tuple", mode)?;
    ghost.say(b"CWD x\r\n")?;
    heard(&mut server, b"CWD x\r\n")?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    server.write_all(b"250 ok\r\n")?;
    ghost.expect(b"250 ok\r\n")?;
    scene.negotiate_by(&mut ghost, &mut server)
}

/// A client whose commands TCP threw away is no further than before: a hole behind them proves no
/// login.
#[test]
fn a20_before_the_login() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let mut ghost = Ghost::connect(&haunt, 21, 1400)?;
    let mut server = scene.server.accept()?;
    server.write_all(b"220 hello\r\n")?;
    ghost.expect(b"220 hello\r\n")?;
    // TCP throws the first half away and keeps the second, which comes in its place to the follower.
    let forged = Segment {
        flags: "SPA",
        ..ghost.segment(b"NOOP\r\n")
    };
    haunt.send(forged.frame(ghost.local, ghost.remote))?;
    let behind = Segment {
        sequence: ghost.next.wrapping_add(6),
        ..ghost.segment(b"NOOP\r\n")
    };
    haunt.send(behind.frame(ghost.local, ghost.remote))?;
    ghost.say(b"NOOP\r\n")?;
    heard(&mut server, b"NOOP\r\nNOOP\r\n")?;
    ghost.skip(6);
    server.write_all(b"530 no\r\n530 no\r\n")?;
    ghost.expect(b"530 no\r\n530 no\r\n")?;
    // The first line behind the hole counts for nothing.
    for refused in ["no-command", "not-logged-in"] {
        let before = scene.firewall.stats()?;
        ghost.say(COMMAND)?;
        heard(&mut server, COMMAND)?;
        let reply = format!("229 Extended (|||{PORT}|)\r\n");
        server.write_all(reply.as_bytes())?;
        ghost.expect(reply.as_bytes())?;
        scene.nothing_since(&before, &[refused])?;
    }
    Ok(())
}

/// A segment that comes twice, as the network may send it, is read once.
#[test]
fn a20_a_second_copy_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, 1400)?;
    let copy = honest(&ghost);
    haunt.send(copy.clone())?;
    haunt.send(copy.clone())?;
    ghost.say(COMMAND)?;
    heard(&mut server, COMMAND)?;
    haunt.send(copy)?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.armed()
}
