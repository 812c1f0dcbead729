//! Like ATTACKS 20: segments that TCP, or IP before it, throws away. Whoever reads a command from one
//! believes what the server never heard.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
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

#[test]
fn a20_no_acknowledgment() -> Result<()> {
    thrown_away(|ghost| {
        let segment = Segment {
            flags: "P",
            ..ghost.segment(COMMAND)
        };
        segment.frame(ghost.local, ghost.remote)
    })
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
