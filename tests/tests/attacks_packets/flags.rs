//! ATTACKS 21, 29: flags.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::heard;

use crate::{MSS, on_an_armed_port};

#[test]
fn a21_forged_rst_and_fin() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    scene.negotiate_by(&mut ghost, &mut server)?;

    let forge = |ghost: &Ghost<'_>, flags, ahead| {
        let sequence = ghost.next.wrapping_add(ahead);
        ghost.put(&Segment {
            flags,
            sequence,
            ..ghost.segment(b"")
        })
    };
    // In the window too: RFC 5961 §3.2 wants the exact number. The window has 960,000 bytes.
    for ahead in [1, 1000, 30_000, 2_000_000, 1 << 31, 1_u32.wrapping_neg()] {
        for flags in ["R", "RA"] {
            forge(&ghost, flags, ahead)?;
        }
    }
    for ahead in [
        2_000_000,
        1 << 31,
        1_u32.wrapping_neg(),
        1000_u32.wrapping_neg(),
    ] {
        forge(&ghost, "FA", ahead)?;
    }
    haunt.answers()?;
    scene.armed().context("after the forged ones")?;
    ensure!(scene.firewall.sessions()?.len() == 1, "the session is gone");
    ghost.say(b"NOOP\r\n")?;
    heard(&mut server, b"NOOP\r\n").context("the server's connection is gone")?;
    // The real one.
    forge(&ghost, "RA", 0)?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be withdrawn by a real RST", <[_]>::is_empty)
}

#[test]
fn a21_a_real_fin_withdraws() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    scene.negotiate_by(&mut ghost, &mut server)?;
    ghost.put(&Segment {
        flags: "FA",
        ..ghost.segment(b"")
    })?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be withdrawn by a FIN", <[_]>::is_empty)
}

#[test]
fn a29_not_a_syn() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        on_an_armed_port(family, |sender| {
            // OTHER is not armed: no difference.
            for port in [PORT, OTHER] {
                for flags in ["A", "PA", "FA", "R", "RA", "SA", "FPUA"] {
                    sender.haunt.send(sender.frame(port, flags, b""))?;
                }
                for flags in ["", "F", "P", "FPU", "SF", "SR", "SFA", "SAFRPU"] {
                    sender.haunt.send(sender.frame(port, flags, b""))?;
                }
            }
            sender.dropped(&[("no-connection", 14), ("malformed", 16)])
        })?;
    }
    Ok(())
}
