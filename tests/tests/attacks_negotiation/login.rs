//! ATTACKS 16, 35: what a session must have behind it.

use std::io::Write as _;
use std::net::Shutdown;

use anyhow::{Context as _, Result};
use ftpfw_tests::ghost::Ghost;
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

const WORDS: &[u8] = b"NOOP\r\n";
const GAP: [u8; 100] = [b' '; 100];

/// How a client says something before the server has greeted, so that those who read miss it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    /// In the last segment of the handshake.
    WithTheHandshake,
    /// There, but behind bytes that come later: TCP keeps it until then.
    KeptForLater,
    /// With an acknowledgment that is too low.
    WrongAcknowledgment,
    /// Behind a segment of bytes that TCP has already, and throws away.
    BehindStale,
}

impl Early {
    const ALL: [Self; 4] = [
        Self::WithTheHandshake,
        Self::KeptForLater,
        Self::WrongAcknowledgment,
        Self::BehindStale,
    ];

    fn connect<'a>(self, haunt: &'a Haunt<'a>) -> Result<Ghost<'a>> {
        let ahead = match self {
            Self::WithTheHandshake => 0,
            Self::KeptForLater => u32::try_from(GAP.len())?,
            Self::WrongAcknowledgment | Self::BehindStale => {
                let mut ghost = Ghost::connect(haunt, 21, MSS)?;
                let mut segment = ghost.segment(WORDS);
                if self == Self::BehindStale {
                    segment.sequence = segment.sequence.wrapping_sub(10);
                } else {
                    // TCP takes it, or its repetition; either way it is read first with the wrong number.
                    segment.acknowledgment = segment.acknowledgment.wrapping_sub(1);
                }
                ghost.put(&segment)?;
                ghost.say(WORDS)?;
                return Ok(ghost);
            }
        };
        Ghost::connect_saying(haunt, 21, MSS, ahead, WORDS)
    }
}

/// What comes before the server has greeted passes for no login, wherever it gets past those who read.
#[test]
fn a16_words_before_the_greeting() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    for early in Early::ALL {
        before_login(&scene, &haunt, early).with_context(|| format!("{early:?}"))?;
    }
    Ok(())
}

fn before_login(scene: &Scene<'_>, haunt: &Haunt<'_>, early: Early) -> Result<()> {
    let mut ghost = early.connect(haunt)?;
    let mut server = scene.server.accept()?;
    if early != Early::KeptForLater {
        heard(&mut server, WORDS)?;
    }
    server.write_all(b"220 ready\r\n")?;
    ghost.expect(b"220 ready\r\n")?;
    if early == Early::KeptForLater {
        ghost.say(&GAP)?;
        ghost.skip(WORDS.len());
        heard(&mut server, &[&GAP, WORDS].concat())?;
    }
    server.write_all(b"200 ok\r\n")?;
    ghost.expect(b"200 ok\r\n")?;
    // Behind a hole nothing counts before the next line.
    ghost.exchange(&mut server, "NOOP", "200 ok")?;
    let before = scene.firewall.stats()?;
    let reply = format!("229 Extended (|||{PORT}|)");
    ghost.exchange(&mut server, "EPSV", &reply)?;
    scene.nothing_since(&before, &["not-logged-in"])?;
    ghost.exchange(&mut server, "USER me", "331 password")?;
    ghost.exchange(&mut server, "PASS right", "230 in")?;
    scene.negotiate_by(&mut ghost, &mut server)?;
    server.shutdown(Shutdown::Both)?;
    scene.firewall.wait_for_tuples("its end", <[_]>::is_empty)?;
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
