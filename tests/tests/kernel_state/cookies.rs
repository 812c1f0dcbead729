//! SYN cookies: a server that keeps nothing of a SYN has no request socket to be found.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::accept;
use ftpfw_tests::ghost::Ghost;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::wait;
use ftpfw_tests::wire::Wire;

use crate::{FAMILIES, MSS, segment};

/// A laboratory whose server answers every SYN by a cookie, whether it has room or not.
fn lab() -> Result<Lab> {
    let lab = Lab::new()?;
    lab.server.netns.sysctl("ipv4/tcp_syncookies", "2")?;
    Ok(lab)
}

/// How many connections came about by a cookie (`SyncookiesRecv`).
fn by_cookie(lab: &Lab) -> Result<u64> {
    let table = lab
        .server
        .netns
        .run(|| fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next(), lines.next());
    let (names, numbers) = names.zip(numbers).context("no TcpExt")?;
    let names = names.split_whitespace();
    let mut both = names.zip(numbers.split_whitespace());
    let (_, number) = both
        .find(|(name, _)| *name == "SyncookiesRecv")
        .context("no SyncookiesRecv")?;
    Ok(number.parse()?)
}

#[test]
fn transfers_work_and_strangers_stay_outside() -> Result<()> {
    for family in FAMILIES {
        let lab = lab()?;
        let scene = Scene::over(&lab, family)?;
        let mut talk = scene.logged_in()?;
        scene.negotiate(&mut talk)?;
        let (stranger, address) = (&lab.stranger, scene.address());
        expect_dropped(&scene.firewall, stranger, address, PORT, "no-tuple")?;
        let before = by_cookie(&lab)?;
        scene.transfer(&mut talk)?;
        ensure!(by_cookie(&lab)? == before + 1, "not by a cookie");
        for host in [&lab.client, stranger] {
            expect_dropped(&scene.firewall, host, address, PORT, "not-armed")?;
        }
        scene.still_works(&mut talk).context("once more")?;
    }
    Ok(())
}

#[test]
fn spoofed_syns_burn_nothing() -> Result<()> {
    for family in FAMILIES {
        let lab = lab()?;
        let scene = Scene::over(&lab, family)?;
        let haunt = Haunt::new(&lab, family)?;
        let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
        scene.negotiate_by(&mut ghost, &mut server)?;
        let spoofer = Wire::new(&lab, &lab.stranger)?;
        let before = scene.firewall.stats()?.pass["tuple"];
        for _ in 0..100 {
            let frame = segment("S", 1, 0).frame(haunt.socket(), haunt.server(PORT));
            spoofer.send(&lab.server, frame)?;
        }
        wait::until("the SYNs to be let through", || {
            let passed = scene.firewall.stats()?.pass["tuple"] - before;
            Ok((passed == 100).then_some(()))
        })?;
        scene.armed().context("a SYN burnt the tuple")?;
        // A cookie that was never given opens nothing, and claims nothing.
        let (from, to) = (haunt.socket(), haunt.server(PORT));
        haunt.send(segment("S", 1, 0).frame(from, to))?;
        let answer = haunt.receive(from, to)?;
        // Its neighbours are cookies too, of another MSS.
        let guess = answer.tcp.sequence_number ^ 0x5555_5555;
        haunt.send(segment("A", 2, guess).frame(from, to))?;
        ensure!(haunt.receive(from, to)?.tcp.rst, "a wrong cookie was taken");
        scene.armed().context("a wrong cookie burnt the tuple")?;

        let _data = Ghost::connect(&haunt, PORT, MSS).context("the client's connection")?;
        scene.firewall.wait_for_tuples("a claim", |tuples| {
            tuples.iter().any(|tuple| tuple.state == "claimed")
        })?;
        accept(&scene.data)?;
    }
    Ok(())
}

/// Both SYNs passed, and the server remembers neither: the tuple is for one connection all the same.
#[test]
fn of_two_handshakes_at_once_one_succeeds() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = lab()?;
        let scene = Scene::over(&lab, family)?;
        let haunt = Haunt::new(&lab, family)?;
        let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
        scene.negotiate_by(&mut ghost, &mut server)?;

        let (slow, to) = (haunt.socket(), haunt.server(PORT));
        haunt.send(segment("S", 1, 0).frame(slow, to))?;
        let answer = haunt.receive(slow, to)?;
        let _fast = Ghost::connect(&haunt, PORT, MSS)?;
        scene.firewall.wait_for_tuples("a claim", |tuples| {
            tuples.iter().any(|tuple| tuple.state == "claimed")
        })?;
        let before = scene.firewall.stats()?;
        let acknowledgment = answer.tcp.sequence_number.wrapping_add(1);
        haunt.send(segment("A", 2, acknowledgment).frame(slow, to))?;
        scene.wait_for_drops(&before, "handshake-too-late", 1)?;
        accept(&scene.data).context("the first")?;
        scene.data.set_nonblocking(true)?;
        ensure!(scene.data.accept().is_err(), "the second came through too");
    }
    Ok(())
}
