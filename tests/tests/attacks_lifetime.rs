//! ATTACKS 24-26, 28, 38: for whom, for how long and how often a tuple lets in.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::policy::Settings;
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::report::Tuple;
use ftpfw_tests::scene::{LOGIN, OTHER, PORT, Scene, fill};
use ftpfw_tests::scripted::{Scripted, Talk};
use ftpfw_tests::wait;
use ftpfw_tests::wire::Wire;
use ftpfw_user::kernel::{Maps, PinDir, Wire as Bytes};

const MSS: u16 = 1400;

fn claimed(tuples: &[Tuple]) -> bool {
    tuples.iter().any(|tuple| tuple.state == "claimed")
}

#[test]
fn a24_theft() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let mut talk = scene.logged_in()?;
        scene.negotiate(&mut talk)?;
        let (stranger, address) = (&lab.stranger, scene.address());
        expect_dropped(&scene.firewall, stranger, address, PORT, "no-tuple")?;
        scene.armed().context("after the attempt")?;
        scene.transfer(&mut talk)?;
        expect_dropped(&scene.firewall, stranger, address, PORT, "not-armed")?;
    }
    Ok(())
}

#[test]
fn a25_race_behind_one_nat() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    let address = SocketAddr::new(scene.address(), PORT);
    let first = dial(&lab.client.netns, address)?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be claimed", claimed)?;
    scene.closed(PORT, "not-armed").context("once claimed")?;
    drop((first, accept(&scene.data)?));
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    scene.closed(PORT, "not-armed")
}

/// Two handshakes of one address at once: both SYNs may pass, one connection comes about.
#[test]
fn a25_two_handshakes_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    scene.negotiate_by(&mut ghost, &mut server)?;

    let slow = HalfOpen::new(&haunt)?;
    let _fast = Ghost::connect(&haunt, PORT, MSS)?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be claimed", claimed)?;
    let before = scene.firewall.stats()?;
    slow.complete(&haunt)?;
    scene.wait_for_drops(&before, "handshake-too-late", 1)?;
    scene.data.set_nonblocking(true)?;
    scene.data.accept().context("the first")?;
    ensure!(scene.data.accept().is_err(), "the second came through too");
    Ok(())
}

/// A handshake without its last segment.
struct HalfOpen {
    local: SocketAddr,
    remote: SocketAddr,
    acknowledgment: u32,
}

impl HalfOpen {
    fn new(haunt: &Haunt<'_>) -> Result<Self> {
        let (local, remote) = (haunt.socket(), haunt.server(PORT));
        haunt.send(segment("S", 1, 0).frame(local, remote))?;
        let answers = haunt.answers()?;
        let answer = answers
            .iter()
            .find(|(from, to, it)| (*from, *to) == (remote, local) && it.tcp.syn && it.tcp.ack);
        let (_, _, answer) = answer.context("the SYN was not answered")?;
        Ok(Self {
            local,
            remote,
            acknowledgment: answer.tcp.sequence_number.wrapping_add(1),
        })
    }

    fn complete(&self, haunt: &Haunt<'_>) -> Result<()> {
        let last = segment("A", 2, self.acknowledgment);
        haunt.send(last.frame(self.local, self.remote))
    }
}

fn segment(flags: &str, sequence: u32, acknowledgment: u32) -> Segment<'_> {
    Segment {
        flags,
        sequence,
        acknowledgment,
        window: 1000,
        options: &[],
        payload: &[],
    }
}

#[test]
fn a26_spoofed_syn() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    scene.negotiate_by(&mut ghost, &mut server)?;
    // Not from the client's cable: the answers go to whom the address belongs to, who is silent.
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
    let _data = Ghost::connect(&haunt, PORT, MSS).context("the client's connection")?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be claimed", claimed)?;
    accept(&scene.data)?;
    Ok(())
}

/// What ends a tuple that nobody used, on a connection where [`PORT`] is armed.
fn stale(what: &str, end: impl FnOnce(&Scene<'_>, Talk) -> Result<Option<Talk>>) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    scene.open(PORT).context("before")?;
    let rest = end(&scene, talk)?;
    scene
        .firewall
        .wait_for_tuples(&format!("the tuple to be gone after {what}"), |tuples| {
            tuples.iter().all(|tuple| tuple.port != Some(PORT))
        })?;
    scene
        .closed(PORT, "not-armed")
        .with_context(|| format!("after {what}"))?;
    drop(rest);
    Ok(())
}

/// The same, by a script; the connection stays.
fn stale_after(script: &[&str]) -> Result<()> {
    stale(&format!("{script:?}"), |scene, mut talk| {
        scene.play(&mut talk, script)?;
        Ok(Some(talk))
    })
}

#[test]
fn a28_after_quit() -> Result<()> {
    stale_after(&["C QUIT", "S 221 bye"])
}

#[test]
fn a28_after_abor() -> Result<()> {
    stale_after(&["C ABOR", "S 226 nothing to abort"])
}

#[test]
fn a28_after_rein() -> Result<()> {
    stale_after(&["C REIN", "S 220 ready"])
}

#[test]
fn a28_after_another_negotiation() -> Result<()> {
    stale_after(&["C EPSV", "S 229 Extended (|||50001|)"])
}

#[test]
fn a28_after_the_clients_fin() -> Result<()> {
    stale("FIN", |_, talk| {
        talk.client.shutdown(std::net::Shutdown::Write)?;
        Ok(Some(talk))
    })
}

#[test]
fn a28_after_the_servers_fin() -> Result<()> {
    stale("FIN", |_, talk| {
        talk.server.shutdown(std::net::Shutdown::Write)?;
        Ok(Some(talk))
    })
}

#[test]
fn a28_after_rst() -> Result<()> {
    stale("RST", |_, talk| {
        talk.reset()?;
        Ok(None)
    })
}

#[test]
fn a28_after_the_listeners_end() -> Result<()> {
    let lab = Lab::new()?;
    let Scene {
        data,
        other: _other,
        server,
        firewall,
        ..
    } = Scene::new(&lab)?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;
    talk.play(&["C EPSV".to_owned(), format!("S 229 Extended (|||{PORT}|)")])?;
    ensure!(firewall.tuples()?.len() == 1, "not armed");
    drop(data);
    firewall.wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    let _again = server.listen(PORT)?;
    let (client, address) = (&lab.client, lab.server.v4.into());
    expect_dropped(&firewall, client, address, PORT, "not-armed")
}

#[test]
fn a28_after_the_deadline() -> Result<()> {
    // Long enough to be seen alive.
    let lifetime = 300_000_000 * u64::from(wait::factor());
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let mut settings = maps.settings()?;
    let now: Settings = settings.get(&0, 0)?.0;
    let short = Settings {
        tuple_lifetime: lifetime,
        ..now
    };
    settings.set(0, Bytes(short), 0)?;
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    scene
        .firewall
        .wait_for_tuples("the deadline", <[_]>::is_empty)?;
    // Collected or not: which of the two it is depends on the agent, that it is dropped does not.
    let before = scene.firewall.stats()?;
    let answer = ftpfw_tests::probe::probe(&lab.client, scene.address(), PORT)?;
    let after = scene.firewall.stats()?;
    ensure!(
        answer == ftpfw_tests::probe::Answer::Silent,
        "after the deadline: {answer:?}"
    );
    let drops = |reason| after.dropped(reason) - before.dropped(reason);
    ensure!(
        drops("expired") + drops("not-armed") == 1,
        "dropped otherwise: {after:?}"
    );
    settings.set(0, Bytes(now), 0)?;
    scene.still_works(&mut talk)
}

/// Half a line, and everything before it, was said before ftpfw looked.
fn met_in_the_middle(before: &[&str], after: &[&str]) -> Result<()> {
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;
    let before: Vec<_> = before
        .iter()
        .map(|line| fill(&lab, Family::V4, line))
        .collect();
    talk.play(&before)?;
    let scene = Scene::around(&lab, server, Family::V4)?;
    let stats = scene.firewall.stats()?;
    scene.play(&mut talk, after)?;
    let negotiated = scene.firewall.stats()?.negotiations;
    ensure!(
        negotiated == stats.negotiations,
        "armed: {before:?}, then {after:?}"
    );
    scene
        .still_works(&mut talk)
        .with_context(|| format!("after {before:?} and {after:?}"))
}

#[test]
fn a38_met_between_two_lines() -> Result<()> {
    met_in_the_middle(&[], &[])?;
    met_in_the_middle(&["C STAT"], &["S 211 fine"])?;
    // The reply to a negotiation that nobody saw begin.
    met_in_the_middle(&["C PASV"], &["S 227 Entering ({s},{p})"])
}

#[test]
fn a38_met_inside_a_reply() -> Result<()> {
    met_in_the_middle(&["C PASV", "s 227 Entering ("], &["s {s},{p})\r\n"])?;
    met_in_the_middle(&["C PASV", "s 550 "], &["s 227 Entering ({s},{p})\r\n"])
}

#[test]
fn a38_met_inside_a_command() -> Result<()> {
    met_in_the_middle(&["c PO"], &["c RT {c},{p}\r\n", "S 500 what"])?;
    met_in_the_middle(&["c PA"], &["c SV\r\n", "S 227 Entering ({s},{p})"])
}

#[test]
fn a38_data_connections_live_on() -> Result<()> {
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let listener = server.listen(40_000)?;
    let mut client = dial(&lab.client.netns, listener.local_addr()?)?;
    let mut ours: TcpStream = accept(&listener)?;
    let scene = Scene::around(&lab, server, Family::V4)?;
    std::io::Write::write_all(&mut client, b"still")?;
    ftpfw_tests::scripted::heard(&mut ours, b"still")?;
    scene.closed(40_000, "not-armed")?;
    ensure!(OTHER != 40_000, "a port of its own");
    Ok(())
}
