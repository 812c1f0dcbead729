//! An agent that cannot attach where it is to: the filters that it found stay.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::flood::Flood;
use ftpfw_tests::lab::{Host, Lab};
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::refusal::{FAILED, refused};
use ftpfw_tests::wait;
use ftpfw_user::kernel::pins::AttachedMode;
use ftpfw_user::kernel::{Maps, PinDir};
use rustix::process::Signal;

const CLOSED: u16 = 45_000;
/// No driver of `eth1` has XDP.
const SAYS: [&str; 1] = ["cannot attach to eth1 in native mode"];

/// Name and mode of the filter of each interface that has pins, or a directory for them.
fn filters(firewall: &Firewall) -> Result<Vec<(String, Option<&'static str>)>> {
    let pinned = PinDir::new(firewall.place().pins.clone()).interfaces()?;
    let filters = pinned.into_iter().map(|it| {
        let mode = it.mode.map(AttachedMode::name);
        (it.name, mode)
    });
    Ok(filters.collect())
}

fn expect_closed(lab: &Lab) -> Result<()> {
    let answer = probe(&lab.stranger, lab.server.v4.into(), CLOSED)?;
    ensure!(answer == Answer::Silent, "it failed open: {answer:?}");
    Ok(())
}

/// Insists that `ftpfw WORDS…` is refused, that every filter is where it was, and that nothing got in meanwhile.
fn refuse(lab: &Lab, firewall: &Firewall, words: &[&str]) -> Result<()> {
    let found = filters(firewall)?;
    let got_in = flooded(lab, || refused(firewall.place(), words, FAILED, &SAYS))?;
    ensure!(got_in == 0, "{got_in} SYNs got through");
    expect_filters(firewall, &found)?;
    expect_closed(lab)
}

/// How many of very many SYNs the server's TCP answers while something is done.
fn flooded(lab: &Lab, deed: impl FnOnce() -> Result<()>) -> Result<u64> {
    let before = resets(&lab.server)?;
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::Syn.pour(lab, &over, &sent));
        let flows = wait::until(
            "the flood",
            || Ok((sent.load(Relaxed) > 1000).then_some(())),
        );
        let done = flows.and_then(|()| deed());
        over.store(true, Relaxed);
        flood.join().expect("the flood does not panic")?;
        done
    })?;
    Ok(resets(&lab.server)? - before)
}

/// The RSTs that a host's TCP has sent.
fn resets(host: &Host) -> Result<u64> {
    let text = host
        .netns
        .run(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = text.lines().filter_map(|it| it.strip_prefix("Tcp: "));
    let (names, values) = (lines.next(), lines.next());
    let mut columns = names
        .zip(values)
        .into_iter()
        .flat_map(|(names, values)| names.split(' ').zip(values.split(' ')));
    let resets = columns.find(|(name, _)| *name == "OutRsts");
    Ok(resets.context("no OutRsts")?.1.parse()?)
}

fn expect_filters(firewall: &Firewall, expected: &[(String, Option<&'static str>)]) -> Result<()> {
    let left = filters(firewall)?;
    ensure!(left == expected, "{left:?} instead of {expected:?}");
    Ok(())
}

/// `eth0` has got its new mode already when `eth1` cannot get its own: both go back.
#[test]
fn another_mode_that_cannot_be() -> Result<()> {
    let lab = Lab::new()?;
    lab.server.netns.ip("link add eth1 type bridge")?;
    for (before, after) in [("tc", "native"), ("native", "tc"), ("generic", "native")] {
        let eth1 = ["--mode", before, "-i", "eth1:generic"];
        let mut firewall = Firewall::start(&lab.server, &eth1)?;
        firewall.end_by(Signal::KILL)?;
        let found = filters(&firewall)?;
        ensure!(found.len() == 2, "{found:?}");
        let words = ["run", "-i", "eth0", "--mode", after, "-i", "eth1:native"];
        refuse(&lab, &firewall, &words)?;

        firewall.launch(&eth1)?;
        firewall.wait_until_ready()?;
        expect_closed(&lab)?;
        firewall.stop()?;
        let answer = probe(&lab.stranger, lab.server.v4.into(), CLOSED)?;
        ensure!(answer == Answer::Refused, "nothing filtered it: {answer:?}");
        let got_in = flooded(&lab, || Ok(()))?;
        ensure!(got_in > 0, "the flood meets no port");
    }
    Ok(())
}

/// What comes in by an interface with counters of its own counts as coming from a protected one.
#[test]
fn one_that_cannot_be_protected_has_no_counters() -> Result<()> {
    let lab = Lab::new()?;
    lab.server.netns.ip("link add eth1 type bridge")?;
    let mut firewall = Firewall::start(&lab.server, &["-i", "eth1:generic"])?;
    let pins = PinDir::new(firewall.place().pins.clone());
    let pinned = pins.interfaces()?.into_iter().find(|it| it.name == "eth1");
    let index = pinned.context("no eth1")?.index;
    let counters = Maps::open(&pins)?.nics()?;
    ensure!(counters.of(index)?.0 != 0, "eth1 has none while it is");
    firewall.end_by(Signal::KILL)?;
    firewall.launch(&[])?;
    firewall.wait_until_ready()?;
    ensure!(counters.of(index)?.0 == 0, "it was let go, and has some");
    firewall.end_by(Signal::KILL)?;
    refuse(&lab, &firewall, &["run", "-i", "eth0", "-i", "eth1:native"])?;
    ensure!(counters.of(index)?.0 == 0, "it was refused, and has some");
    Ok(())
}

/// Not even as many as there can be: those that are gone count for nothing.
#[test]
fn many_that_were_made_anew() -> Result<()> {
    const NUMBER: usize = 8;
    let lab = Lab::new()?;
    let names: Vec<String> = (0..NUMBER).map(|number| format!("br{number}")).collect();
    let words: Vec<String> = names
        .iter()
        .flat_map(|name| ["-i".to_owned(), format!("{name}:generic")])
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let make = || -> Result<()> {
        names.iter().try_for_each(|name| {
            let made = lab.server.netns.ip(&format!("link add {name} type bridge"));
            made.map(drop)
        })
    };
    make()?;
    let mut firewall = Firewall::start(&lab.server, &words)?;
    firewall.end_by(Signal::KILL)?;
    for name in &names {
        lab.server.netns.ip(&format!("link del {name}"))?;
    }
    make()?;
    firewall.launch(&words)?;
    firewall.wait_until_ready()?;
    let found = filters(&firewall)?;
    ensure!(found.len() == 1 + NUMBER, "{found:?}");
    expect_closed(&lab)
}

/// `eth0` is no longer asked for, which is for the next agent to decide: this one never ran.
#[test]
fn another_interface_that_cannot_be() -> Result<()> {
    let lab = Lab::new()?;
    lab.server.netns.ip("link add eth1 type bridge")?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.end_by(Signal::KILL)?;
    let found = filters(&firewall)?;
    refuse(&lab, &firewall, &["run", "-i", "eth1", "--mode", "native"])?;

    firewall.launch(&["-i", "eth1:generic"])?;
    firewall.wait_until_ready()?;
    ensure!(filters(&firewall)?.len() == 2);
    firewall.end_by(Signal::KILL)?;
    firewall.launch(&[])?;
    firewall.wait_for("eth1: detached, no longer asked for")?;
    firewall.wait_until_ready()?;
    expect_filters(&firewall, &found)
}
