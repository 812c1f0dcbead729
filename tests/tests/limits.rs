//! Limits that the operator chose: what is over one is refused by name, what was there before stays, and
//! what one client has too much of costs no other anything.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::dial;
use ftpfw_tests::ghost::Segment;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scene::{LOGIN, OTHER, PORT, Scene};
use ftpfw_tests::scripted::Talk;
use ftpfw_tests::wait;
use serde_json::Value;

const OPENERS: [&str; 2] = ["inline", "agent"];

/// A session of `host`, logged in.
fn session(scene: &Scene<'_>, host: &Host) -> Result<Talk> {
    let mut talk = scene.server.talk(&host.netns)?;
    talk.play(&LOGIN)?;
    Ok(talk)
}

fn negotiate(talk: &mut Talk, port: u16) -> Result<()> {
    talk.play(&["C EPSV".to_owned(), format!("S 229 (|||{port}|)")])
}

/// Waits for a refusal to be counted so often; with `--opener agent` that takes a moment.
fn wait_for_refusals(scene: &Scene<'_>, reason: &str, count: u64) -> Result<()> {
    let mut seen = BTreeMap::new();
    wait::until(&format!("{count} times `{reason}`"), || {
        seen = scene.firewall.stats()?.refused;
        Ok((seen.get(reason).is_some_and(|it| *it >= count)).then_some(()))
    })
    .with_context(|| format!("{seen:?}"))
}

fn wait_for_armed(scene: &Scene<'_>, host: &Host, ports: &[u16]) -> Result<()> {
    scene
        .firewall
        .wait_for_tuples(&format!("{ports:?} to be armed"), |tuples| {
            let mut armed: Vec<_> = tuples
                .iter()
                .filter(|tuple| tuple.client == host.v4)
                .filter_map(|tuple| tuple.port)
                .collect();
            armed.sort_unstable();
            armed == ports
        })
}

#[test]
fn sessions_of_one_client() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::with(&lab, &["--max-sessions-per-client", "3"])?;
    let mut first = scene.logged_in()?;
    let others = [scene.logged_in()?, scene.logged_in()?];

    let mut fourth = scene.logged_in()?;
    negotiate(&mut fourth, OTHER)?;
    scene.closed(OTHER, "not-armed").context("the fourth")?;
    wait_for_refusals(&scene, "sessions-per-client", 1)?;
    ensure!(scene.firewall.sessions()?.len() == 3);

    let mut stranger = session(&scene, &lab.stranger)?;
    negotiate(&mut stranger, OTHER)?;
    let _data = dial(&lab.stranger.netns, (scene.address(), OTHER).into())
        .context("another client's first")?;
    negotiate(&mut first, PORT)?;
    scene.open(PORT).context("the first")?;

    drop(others);
    wait::until("room for one more", || {
        Ok((scene.firewall.sessions()?.len() == 2).then_some(()))
    })?;
    negotiate(&mut fourth, OTHER)?;
    scene.open(OTHER).context("the fourth, once there is room")
}

#[test]
fn tuples_of_one_client() -> Result<()> {
    for opener in OPENERS {
        let lab = Lab::new()?;
        let options = ["--max-tuples-per-client", "2", "--opener", opener];
        let scene = Scene::with(&lab, &options)?;
        let more = scene.server.listen(OTHER + 1)?;
        let mut talks = [scene.logged_in()?, scene.logged_in()?, scene.logged_in()?];
        negotiate(&mut talks[0], PORT)?;
        negotiate(&mut talks[1], OTHER)?;
        wait_for_armed(&scene, &lab.client, &[PORT, OTHER])?;

        negotiate(&mut talks[2], OTHER + 1)?;
        if opener == "inline" {
            wait_for_refusals(&scene, "tuples-per-client", 1)?;
        } else {
            let refused = |line: &&str| line.contains("tuples-per-client");
            wait::until("the refusal in the log", || {
                Ok(scene.firewall.log().lines().find(refused).map(drop))
            })?;
        }
        scene.closed(OTHER + 1, "not-armed")?;
        wait_for_armed(&scene, &lab.client, &[PORT, OTHER])?;

        // Another client's, and the same client's in the place of one that it has.
        let mut stranger = session(&scene, &lab.stranger)?;
        negotiate(&mut stranger, OTHER + 1)?;
        wait_for_armed(&scene, &lab.stranger, &[OTHER + 1])?;
        negotiate(&mut talks[0], OTHER + 1)?;
        wait_for_armed(&scene, &lab.client, &[OTHER, OTHER + 1])?;
        scene.open(OTHER + 1)?;
        // What is withdrawn makes room.
        talks[1].play(&["C ABOR", "S 226 ok"])?;
        negotiate(&mut talks[2], PORT)?;
        wait_for_armed(&scene, &lab.client, &[PORT, OTHER + 1])?;
        drop(more);
    }
    Ok(())
}

#[test]
fn a_small_map_refuses_the_new_and_keeps_the_old() -> Result<()> {
    let lab = Lab::new()?;
    let options = ["--max-tuples", "2", "--max-tuples-per-client", "2"];
    let scene = Scene::with(&lab, &options)?;
    let mut talks = [scene.logged_in()?, scene.logged_in()?];
    negotiate(&mut talks[0], PORT)?;
    negotiate(&mut talks[1], OTHER)?;
    let mut stranger = session(&scene, &lab.stranger)?;
    negotiate(&mut stranger, PORT)?;
    wait_for_refusals(&scene, "tuples-full", 1)?;
    expect_dropped(
        &scene.firewall,
        &lab.stranger,
        scene.address(),
        PORT,
        "no-tuple",
    )?;
    scene.open(PORT)?;
    scene.open(OTHER)
}

#[test]
fn adopted_maps_keep_their_sizes_and_it_is_said() -> Result<()> {
    let lab = Lab::new()?;
    let options = ["--max-tuples", "2", "--max-tuples-per-client", "1"];
    let mut scene = Scene::with(&lab, &[&options[..], &["--keep-attached"]].concat())?;
    let mut talk = scene.logged_in()?;
    negotiate(&mut talk, PORT)?;
    scene.firewall.take_over(&["--max-tuples", "3"])?;
    let said = "ARMED keeps room for 2 entries, not 3, until `ftpfw detach`";
    ensure!(
        scene.firewall.log().contains(said),
        "{}",
        scene.firewall.log()
    );
    // Clients are counted where they were counted before: the limit for one is new, of 3 a quarter, 1.
    let mut second = scene.logged_in()?;
    negotiate(&mut second, OTHER)?;
    wait_for_refusals(&scene, "tuples-per-client", 1)?;
    scene.closed(OTHER, "not-armed")?;
    scene.open(PORT)
}

#[test]
fn lines_of_the_log() -> Result<()> {
    const SESSIONS: usize = 20;
    let lab = Lab::new()?;
    let scene = Scene::with(&lab, &["--max-log-lines", "5"])?;
    for _ in 0..SESSIONS {
        drop(scene.logged_in()?);
    }
    wait::until("all of it in the journal", || {
        let closed = scene.firewall.events(&["-n", "1000"])?;
        let closed = closed.iter().filter(|event| event.event == "closed");
        Ok((closed.count() == SESSIONS).then_some(()))
    })?;
    wait::until("a word on what was left out", || {
        Ok(scene
            .firewall
            .log()
            .contains("are not in the log (--max-log-lines 5)")
            .then_some(()))
    })?;
    let log = scene.firewall.log();
    let said = log.lines().filter(|line| line.contains("connected to"));
    ensure!(said.count() < SESSIONS, "all of it is in the log:\n{log}");
    let status: Value = scene.firewall.query(&["status"])?;
    let left_out = status["agent"]["log_left_out"].as_u64();
    ensure!(left_out.is_some_and(|it| it > 0), "{status}");
    Ok(())
}

/// Whoever has a tuple may send SYNs from as many ports as there are: the flows of others stay.
#[test]
fn syns_to_ones_own_tuple_push_no_flow_out() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::with(&lab, &["--max-flows", "1024"])?;
    let udp = |host: &Host, port| {
        let address = (host.v4, port);
        let socket = host
            .netns
            .run(|| UdpSocket::bind(address))?
            .context("bind")?;
        socket.set_read_timeout(Some(wait::patience()))?;
        anyhow::Ok(socket)
    };
    let (asker, resolver) = (udp(&lab.server, 0)?, udp(&lab.client, 53)?);
    asker.send_to(b"query", (lab.client.v4, 53))?;
    let mut buffer = [0; 8];
    let (_, from) = resolver.recv_from(&mut buffer)?;

    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, 1400)?;
    scene.negotiate_by(&mut ghost, &mut server)?;
    let before = scene.firewall.stats()?.pass["tuple"];
    let syn = Segment {
        flags: "S",
        acknowledgment: 0,
        ..ghost.segment(b"")
    };
    let ports = 20_000..30_000;
    for port in ports.clone() {
        let local = SocketAddr::new(haunt.address, port);
        haunt.send(syn.frame(local, haunt.server(PORT)))?;
    }
    wait::until("the flood to arrive", || {
        let passed = scene.firewall.stats()?.pass["tuple"] - before;
        Ok((passed >= ports.len() as u64).then_some(()))
    })?;
    resolver.send_to(b"answer", from)?;
    asker.recv_from(&mut buffer).context("the flow before")?;
    Ok(())
}
