//! An agent that cannot attach where it is to: the filters that it found stay.

use anyhow::{Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::refusal::{FAILED, refused};
use ftpfw_user::kernel::PinDir;
use ftpfw_user::kernel::pins::AttachedMode;
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

/// Insists that `ftpfw WORDS…` is refused, and that every filter is where it was.
fn refuse(lab: &Lab, firewall: &Firewall, words: &[&str]) -> Result<()> {
    let found = filters(firewall)?;
    refused(firewall.place(), words, FAILED, &SAYS)?;
    expect_filters(firewall, &found)?;
    expect_closed(lab)
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
        firewall.wait_for("ready")?;
        expect_closed(&lab)?;
        firewall.stop()?;
        let answer = probe(&lab.stranger, lab.server.v4.into(), CLOSED)?;
        ensure!(answer == Answer::Refused, "nothing filtered it: {answer:?}");
    }
    Ok(())
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
    firewall.wait_for("ready")?;
    ensure!(filters(&firewall)?.len() == 2);
    firewall.end_by(Signal::KILL)?;
    firewall.launch(&[])?;
    firewall.wait_for("eth1: detached, no longer asked for")?;
    firewall.wait_for("ready")?;
    expect_filters(&firewall, &found)
}
