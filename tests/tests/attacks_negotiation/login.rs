//! ATTACKS 16, 35: what a session must have behind it.

use std::io::Write as _;
use std::net::Shutdown;

use anyhow::{Context as _, Result};
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::scripted::heard;

use crate::Row;

const MSS: u16 = 1400;

#[test]
fn a16_before_login() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let greeted: &[&str] = &["S 220 ready", "C USER someone", "S 331 password"];
    let attacks: [Row<'_>; 3] = [
        (&["C PASV", "S 227 Entering ({s},{p})"], &["not-logged-in"]),
        (
            &["C EPSV", "S 229 Extended (|||50000|)"],
            &["not-logged-in"],
        ),
        (&["C PORT {c},{p}", "S 200 ok"], &["not-logged-in"]),
    ];
    for (script, refusals) in attacks {
        let mut talk = scene.talk()?;
        scene.play(&mut talk, greeted)?;
        scene
            .arms_nothing(&mut talk, script, refusals)
            .with_context(|| format!("{script:?}"))?;
        // A refused login is none.
        let script = ["C PASS wrong", "S 530 no", "C PASV", "S 227 ({s},{p})"];
        scene.arms_nothing(&mut talk, &script, &["not-logged-in"])?;
        scene.play(
            &mut talk,
            &["C USER me", "S 331 password", "C PASS right", "S 230 in"],
        )?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

/// What comes before the server has greeted passes for no login, wherever it gets past those who read.
#[test]
fn a16_words_before_the_greeting() -> Result<()> {
    const WORDS: &[u8] = b"NOOP\r\n";
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    for with_the_handshake in [true, false] {
        let mut ghost;
        if with_the_handshake {
            ghost = Ghost::connect_saying(&haunt, 21, MSS, WORDS)?;
        } else {
            ghost = Ghost::connect(&haunt, 21, MSS)?;
            // TCP takes it, or its repetition; either way it is read first with the wrong number.
            let honest = ghost.segment(WORDS);
            ghost.put(&Segment {
                acknowledgment: honest.acknowledgment.wrapping_sub(1),
                ..honest
            })?;
            ghost.say(WORDS)?;
        }
        let mut server = scene.server.accept()?;
        heard(&mut server, WORDS)?;
        for line in ["220 ready\r\n", "200 ok\r\n"] {
            server.write_all(line.as_bytes())?;
            ghost.expect(line.as_bytes())?;
        }
        let mut exchange = |command: &str, reply: &str| -> Result<()> {
            let [command, reply] = [command, reply].map(|line| format!("{line}\r\n"));
            ghost.say(command.as_bytes())?;
            heard(&mut server, command.as_bytes())?;
            server.write_all(reply.as_bytes())?;
            ghost.expect(reply.as_bytes())
        };
        let before = scene.firewall.stats()?;
        exchange("EPSV", &format!("229 Extended (|||{PORT}|)"))?;
        scene.nothing_since(&before, &["not-logged-in"])?;
        exchange("USER me", "331 password")?;
        exchange("PASS right", "230 in")?;
        scene.negotiate_by(&mut ghost, &mut server)?;
        server.shutdown(Shutdown::Both)?;
        scene.firewall.wait_for_tuples("its end", <[_]>::is_empty)?;
    }
    Ok(())
}

#[test]
fn a35_fake_auth() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.play(&mut talk, &["C AUTH TLS", "S 500 no TLS here"])?;
    scene
        .still_works(&mut talk)
        .context("after a refused AUTH")?;
    // A 234 that answers another command is no AUTH either.
    scene.play(&mut talk, &["C NOOP", "S 234 go"])?;
    scene
        .still_works(&mut talk)
        .context("after a 234 for nothing")?;
    scene.arms_nothing(&mut talk, &["C CWD x", "S 227 ({s},{p})"], &["no-command"])
}
