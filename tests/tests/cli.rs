//! What goes wrong on the command line: one clear sentence, the right exit code, and nothing left in
//! the kernel.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::nobody::Nobody;
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::{FAILED, USAGE, check, nothing_left, refused};
use rustix::process::Signal;

#[test]
fn an_interface_that_does_not_exist() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    refused(
        &place,
        &["run", "-i", "eth9"],
        FAILED,
        &["interface eth9 does not exist"],
    )?;
    // One that does exist must not stay attached because of another that does not.
    let words = ["run", "-i", "eth0", "-i", "eth9"];
    refused(&place, &words, FAILED, &["interface eth9 does not exist"])?;
    nothing_left(&lab.server, &place)
}

#[test]
fn usage() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    for (words, says) in [
        (
            ["run", "-i", "eth0", "--no-such-flag"].as_slice(),
            "--no-such-flag",
        ),
        (&["run"], "--interface"),
        (&["run", "-i", "eth0", "--open-port", "70000/tcp"], "70000"),
        (&["run", "-i", "eth0", "--open-port", "80/icmp"], "icmp"),
        (&["run", "-i", "eth0", "--protect", "2000-1000"], "2000"),
        (&["run", "-i", "eth0", "--mode", "fast"], "fast"),
        (&["list", "nonsense"], "nonsense"),
        (&["events", "--since", "5"], "5m"),
        (&["nonsense"], "nonsense"),
    ] {
        refused(&place, words, USAGE, &[says])?;
    }
    nothing_left(&lab.server, &place)
}

#[test]
fn without_privileges() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let nobody = Nobody::new()?;
    let mut command = nobody.command(&["run", "-i", "eth0"]);
    command
        .arg("--pin-dir")
        .arg(&place.pins)
        .arg("--socket")
        .arg(nobody.directory().join("agent.sock"));
    let output = lab.server.netns.run(|| command.output())??;
    check(&output, FAILED, &["CAP_NET_ADMIN", "root"])?;
    nothing_left(&lab.server, &place)
}

#[test]
fn another_xdp_program_is_there() -> Result<()> {
    let lab = Lab::new()?;
    let first = Firewall::start(&lab.server, &["--mode", "native"])?;
    let second = Place::new(&lab.server)?;
    let says = ["another XDP program", "ingress", "eth0"];
    refused(&second, &["run", "-i", "eth0"], FAILED, &says)?;
    ensure!(
        !second.pins.exists(),
        "{} is left behind",
        second.pins.display()
    );
    expect_dropped(
        &first,
        &lab.client,
        lab.server.v4.into(),
        40_000,
        "not-armed",
    )
    .context("the first must be unharmed")?;
    // At TC there is room for both.
    let mut beside = Firewall::start_at(second, &["--mode", "tc"])?;
    beside.stop()?;
    Ok(())
}

#[test]
fn a_second_run_on_the_same_pins() -> Result<()> {
    let lab = Lab::new()?;
    let first = Firewall::start(&lab.server, &[])?;
    let pid = first.pid().to_string();
    refused(first.place(), &["run", "-i", "eth0"], FAILED, &[&pid])?;
    expect_dropped(
        &first,
        &lab.client,
        lab.server.v4.into(),
        40_000,
        "not-armed",
    )
    .context("the first must be unharmed")
}

#[test]
fn detach_may_be_repeated() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    for _ in 0..2 {
        let output = place.command(&["detach"]).output()?;
        ensure!(output.status.success(), "detach of nothing: {output:?}");
        nothing_left(&lab.server, &place)?;
    }
    Ok(())
}

#[test]
fn queries_without_an_ftpfw() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    for words in [
        ["list", "tuples"].as_slice(),
        &["list", "sessions"],
        &["stats"],
    ] {
        refused(&place, words, FAILED, &[&place.pins.display().to_string()])?;
    }
    let says = ["running agent", &place.socket.display().to_string()];
    for words in [["events"].as_slice(), &["events", "--follow"]] {
        refused(&place, words, FAILED, &says)?;
    }
    Ok(())
}

#[test]
fn both_signals_detach() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let _service = lab
        .server
        .netns
        .run(|| TcpListener::bind((server, 40_000)))??;
    for signal in [Signal::INT, Signal::TERM] {
        let mut firewall = Firewall::start(&lab.server, &[])?;
        expect_dropped(&firewall, &lab.client, server, 40_000, "not-armed")?;
        firewall.signal(signal)?;
        let status = firewall.wait()?;
        ensure!(status.success(), "{signal:?}: {status}\n{}", firewall.log());
        nothing_left(&lab.server, firewall.place())?;
        ensure!(
            !firewall.place().socket.exists(),
            "the socket is left behind"
        );
        ensure!(
            probe(&lab.client, server, 40_000)? == Answer::Open,
            "{signal:?}: still closed"
        );
    }
    Ok(())
}

/// If the agent dies, nothing fails open; `detach` cleans up after it.
#[test]
fn a_killed_agent_leaves_the_filter_in_place() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let _service = lab
        .server
        .netns
        .run(|| TcpListener::bind((server, 40_000)))??;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.signal(Signal::KILL)?;
    firewall.wait()?;
    expect_dropped(&firewall, &lab.client, server, 40_000, "not-armed").context("fails open")?;
    firewall.stop()?;
    nothing_left(&lab.server, firewall.place())?;
    ensure!(
        probe(&lab.client, server, 40_000)? == Answer::Open,
        "still closed after detach"
    );
    Ok(())
}

#[test]
fn keep_attached_stays_until_detach() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let _service = lab
        .server
        .netns
        .run(|| TcpListener::bind((server, 40_000)))??;
    let mut firewall = Firewall::start(&lab.server, &["--keep-attached"])?;
    firewall.signal(Signal::TERM)?;
    ensure!(firewall.wait()?.success(), "{}", firewall.log());
    expect_dropped(&firewall, &lab.client, server, 40_000, "not-armed")?;
    firewall.stop()?;
    nothing_left(&lab.server, firewall.place())?;
    ensure!(
        probe(&lab.client, server, 40_000)? == Answer::Open,
        "still closed after detach"
    );
    Ok(())
}
