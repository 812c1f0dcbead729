//! What passes for a login where no socket of this host tells what came before.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::container::Container;
use ftpfw_tests::control::accept;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::Ghost;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scripted::heard;
use ftpfw_tests::wait;

use crate::FAMILIES;

const MSS: u16 = 1400;
const PUBLISHED: &str = "21, 45000";
const OFFER: &str = "229 Extended (|||45000|)";
const LATER: &[u8] = b"NOOP\r\n";
const GAP: [u8; 100] = [b' '; 100];

/// The last segment of the handshake has bytes that the container's TCP keeps for later: a hole comes about,
/// with nothing of a login in it.
#[test]
fn words_before_the_greeting_are_none() -> Result<()> {
    for family in FAMILIES {
        for opener in ["inline", "agent"] {
            negotiate(family, opener).with_context(|| format!("{family:?}, {opener}"))?;
        }
    }
    Ok(())
}

/// The other half: a client that does not wait for its replies is logged in by them.
#[test]
fn a_login_in_one_segment_is_one() -> Result<()> {
    const COMMANDS: &[u8] = b"USER a\r\nPASS b\r\nEPSV\r\n";
    for opener in ["inline", "agent"] {
        let lab = Lab::new()?;
        let container = Container::behind(&lab, PUBLISHED)?;
        let daemon = listen(&container, Family::V4)?;
        let firewall = Firewall::start(&lab.server, &["--opener", opener])?;
        let haunt = Haunt::new(&lab, Family::V4)?;
        let mut ghost = Ghost::connect(&haunt, 21, MSS)?;
        let mut server = accept(&daemon)?;
        server.write_all(b"220 ready\r\n")?;
        ghost.expect(b"220 ready\r\n")?;
        ghost.say(COMMANDS)?;
        heard(&mut server, COMMANDS)?;
        let replies = format!("331 word\r\n230 in\r\n{OFFER}\r\n");
        server.write_all(replies.as_bytes())?;
        ghost.expect(replies.as_bytes())?;
        firewall.wait_for_tuples("the tuple", |tuples| tuples.len() == 1)?;
    }
    Ok(())
}

fn listen(container: &Container, family: Family) -> Result<TcpListener> {
    let inside = SocketAddr::new(container.host.address(family), 21);
    Ok(container.host.netns.run(|| TcpListener::bind(inside))??)
}

fn negotiate(family: Family, opener: &str) -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, PUBLISHED)?;
    let daemon = listen(&container, family)?;
    let firewall = Firewall::start(&lab.server, &["--opener", opener])?;
    let haunt = Haunt::new(&lab, family)?;
    let ahead = u32::try_from(GAP.len())?;
    let mut ghost = Ghost::connect_saying(&haunt, 21, MSS, ahead, LATER)?;
    let mut server = accept(&daemon)?;
    server.write_all(b"220 ready\r\n")?;
    ghost.expect(b"220 ready\r\n")?;
    ghost.say(&GAP)?;
    ghost.skip(LATER.len());
    heard(&mut server, &[&GAP, LATER].concat())?;
    server.write_all(b"200 ok\r\n")?;
    ghost.expect(b"200 ok\r\n")?;

    // Behind the hole nothing counts before the next line.
    ghost.exchange(&mut server, "NOOP", "200 ok")?;
    ghost.exchange(&mut server, "EPSV", OFFER)?;
    wait::until("the refusal", || {
        Ok((firewall.stats()?.refused["not-logged-in"] > 0).then_some(()))
    })?;
    let tuples = firewall.tuples()?;
    ensure!(tuples.is_empty(), "{tuples:?}");

    ghost.exchange(&mut server, "USER me", "331 password")?;
    ghost.exchange(&mut server, "PASS right", "230 in")?;
    ghost.exchange(&mut server, "EPSV", OFFER)?;
    firewall.wait_for_tuples("the tuple", |tuples| tuples.len() == 1)
}
