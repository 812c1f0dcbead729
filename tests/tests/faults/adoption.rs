//! An agent after an agent: it adopts what it may, says what it changes, and refuses the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData};
use ftpfw_common::abi::{maps, policy::Settings};
use ftpfw_tests::control::{accept, dial, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::patient;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::{FAILED, refused};
use ftpfw_tests::report::{Stats, Tuple};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::wait;
use rustix::process::Signal;

use crate::watch::Watch;

const CLOSED: u16 = 45_000;
/// Agents killed one after the other.
const CRASHES: usize = 5;

/// What must be the same for the next agent.
#[derive(Debug, PartialEq, Eq)]
struct State {
    sessions: BTreeSet<(u64, u16)>,
    tuples: Vec<(Option<u16>, String)>,
    armed: u64,
}

impl State {
    fn of(firewall: &Firewall) -> Result<Self> {
        let mut tuples: Vec<_> = firewall
            .tuples()?
            .into_iter()
            .map(|tuple: Tuple| (tuple.port, tuple.state))
            .collect();
        tuples.sort();
        let sessions = firewall.sessions()?;
        Ok(Self {
            sessions: sessions.iter().map(|it| (it.id, it.client_port)).collect(),
            tuples,
            armed: firewall.stats()?.negotiations.values().sum(),
        })
    }
}

#[test]
fn after_a_crash_everything_is_as_it_was() -> Result<()> {
    let lab = Lab::new()?;
    let long_lived = patient::long_lived()?;
    let options = long_lived.options();
    let mut scene = Scene::with(&lab, &options)?;
    let (mut first, mut second) = (scene.logged_in()?, scene.logged_in()?);
    scene.negotiate(&mut first)?;
    let address = SocketAddr::new(scene.address(), PORT);
    let mut client = dial(&lab.client.netns, address)?;
    let mut server = accept(&scene.data)?;
    scene.play(&mut second, &["C PASV", "S 227 Entering ({s},{q})"])?;
    let right = |tuples: &[Tuple]| {
        let mut states: Vec<_> = tuples.iter().map(|it| it.state.as_str()).collect();
        states.sort_unstable();
        states == ["armed", "claimed"]
    };
    scene.firewall.wait_for_tuples("one of each", right)?;
    wait::until("the agent to know both sessions", || {
        Ok((scene.firewall.sessions()?.len() == 2).then_some(()))
    })?;
    let before = State::of(&scene.firewall)?;

    for crash in 1..=CRASHES {
        scene.firewall.crash(&options)?;
        let after = State::of(&scene.firewall)?;
        ensure!(
            after == before,
            "after crash {crash}: {after:?}, not {before:?}"
        );
    }
    // What was established goes on, what was armed can be used, by its client alone.
    server.write_all(b"contents")?;
    drop(server);
    ensure!(read_all(&mut client)? == b"contents", "other bytes arrived");
    drop(client);
    let answer = probe(&lab.stranger, scene.address(), OTHER)?;
    ensure!(answer == Answer::Silent, "the stranger: {answer:?}");
    let other = SocketAddr::new(scene.address(), OTHER);
    let data = dial(&lab.client.netns, other).context("armed before the crash")?;
    drop((data, accept(&scene.other)?));
    scene
        .firewall
        .wait_for_tuples("both to be gone", <[_]>::is_empty)?;
    // Both sessions are followed still.
    scene.still_works(&mut first)?;
    scene.still_works(&mut second)
}

/// Programs take the place of programs: a SYN meets the old ones or the new ones, and is dropped.
#[test]
fn no_syn_gets_through_while_programs_are_replaced() -> Result<()> {
    let lab = Lab::new()?;
    let long_lived = patient::long_lived()?;
    let options = long_lived.options();
    let mut scene = Scene::with(&lab, &options)?;
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    let watch = Watch::on(CLOSED);
    watch.add(PORT);
    watch.during(&lab, || {
        for _ in 0..CRASHES {
            let programs = program_ids(&scene)?;
            scene.firewall.crash(&options)?;
            ensure!(
                program_ids(&scene)? != programs,
                "the programs are the old ones"
            );
        }
        Ok(())
    })?;
    ensure!(
        watch.knocks() > 100,
        "only {} SYNs were sent",
        watch.knocks()
    );
    scene.transfer(&mut talk)
}

/// What is attached to the interface, XDP or TC.
fn program_ids(scene: &Scene<'_>) -> Result<Vec<u32>> {
    use aya::programs::{SchedClassifier, TcAttachType};
    let query = || SchedClassifier::query_tcx("eth0", TcAttachType::Egress);
    let (_, programs) = scene.lab.server.netns.run(query)??;
    Ok(programs
        .iter()
        .map(aya::programs::ProgramInfo::id)
        .collect())
}

fn pinned_settings(firewall: &Firewall) -> Result<Array<MapData, [u8; size_of::<Settings>()]>> {
    let path = firewall.place().pins.join(maps::SETTINGS);
    Ok(Map::from_map_data(MapData::from_pin(path)?)?.try_into()?)
}

#[test]
fn another_layout_is_refused_with_the_way_out() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.end_by(Signal::KILL)?;
    let mut settings = pinned_settings(&firewall)?;
    let ours = settings.get(&0, 0)?;
    let mut theirs = ours;
    // The version stands first, whatever the rest is.
    theirs[..4].copy_from_slice(&9999_u32.to_ne_bytes());
    settings.set(0, theirs, 0)?;
    let way_out = format!("ftpfw detach --pin-dir {}", firewall.place().pins.display());
    for _ in 0..2 {
        let says = ["version 9999", &way_out];
        refused(firewall.place(), &["run", "-i", "eth0"], FAILED, &says)?;
        let answer = probe(&lab.stranger, server, CLOSED)?;
        ensure!(answer == Answer::Silent, "it failed open: {answer:?}");
    }
    let detached = firewall.place().command(&["detach"]).output()?;
    ensure!(detached.status.success(), "{detached:?}");
    ensure!(probe(&lab.stranger, server, CLOSED)? == Answer::Refused);
    firewall.launch(&[])?;
    firewall.wait_until_ready()?;
    expect_dropped(&firewall, &lab.stranger, server, CLOSED, "not-armed")
}

/// Other ports are no other layout: the new policy is in force, and it is said.
#[test]
fn another_policy_is_adopted_and_said() -> Result<()> {
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let address = server.address;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    expect_dropped(&firewall, &lab.client, address, CLOSED, "not-armed")?;
    let before: Stats = firewall.stats()?;
    let other = ["--protect", "2000-3000", "--control-port", "2121"];
    firewall.crash(&other)?;
    let log = firewall.log();
    ensure!(log.contains("another policy"), "not said:\n{log}");
    ensure!(
        firewall.stats()?.dropped("not-armed") == before.dropped("not-armed"),
        "the counters began anew"
    );
    expect_dropped(&firewall, &lab.client, address, 2500, "not-armed")?;
    let answer = probe(&lab.client, address, CLOSED)?;
    ensure!(answer == Answer::Refused, "no longer protected: {answer:?}");

    firewall.crash(&other)?;
    let log = firewall.log();
    ensure!(!log.contains("another policy"), "the same one:\n{log}");
    firewall.crash(&[])?;
    ensure!(firewall.log().contains("another policy"));
    expect_dropped(&firewall, &lab.client, address, CLOSED, "not-armed")
}

/// Who cannot attach leaves the policy in force that he found, and no link of his.
#[test]
fn a_refused_agent_changes_no_policy() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.end_by(Signal::KILL)?;
    lab.server
        .netns
        .ip("link add eth1 type veth peer name eth2")?;
    let mut ip = lab.server.netns.command("ip");
    let shown = ip.args(["-oneline", "link", "show", "eth1"]).output()?;
    let shown = String::from_utf8(shown.stdout)?;
    let (index, _) = shown.split_once(':').context("`INDEX: NAME…`")?;
    // Where the last link of the second interface is to be pinned, there is something already.
    let links = firewall.place().pins.join("links");
    let obstacle = links.join(format!("{index}-eth1/tcx-egress"));
    fs::create_dir_all(&obstacle)?;
    firewall.launch(&["-i", "eth1", "--protect", "2000-3000"])?;
    let ready = firewall.wait_until_ready();
    // `detach` trips over it too.
    fs::remove_dir(&obstacle)?;
    let refusal = format!("{:#}", ready.err().context("it was not refused")?);
    ensure!(
        refusal.contains("cannot attach to the egress of eth1"),
        "{refusal}"
    );
    let left: Vec<_> = fs::read_dir(obstacle.parent().context("a directory")?)?.collect();
    ensure!(left.is_empty(), "of eth1 is left: {left:?}");
    expect_dropped(&firewall, &lab.stranger, server, CLOSED, "not-armed")?;
    let answer = probe(&lab.client, server, 1500)?;
    ensure!(answer == Answer::Silent, "no longer protected: {answer:?}");

    firewall.launch(&["-i", "eth1"])?;
    firewall.wait_until_ready()?;
    let log = firewall.log();
    ensure!(!log.contains("another policy"), "it was changed:\n{log}");
    Ok(())
}
