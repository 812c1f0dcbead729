//! `ftpfw detach`: with an agent and without, once and again, everything of its own and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
use ftpfw_common::abi::maps;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::{FAILED, USAGE, nothing_left, refused, refused_by};
use ftpfw_user::kernel::{Kernel, LoadOptions};
use rustix::process::Signal;
use tempfile::TempDir;

const CLOSED: u16 = 45_000;

fn detach(firewall: &Firewall) -> Result<String> {
    let output = firewall.place().command(&["detach"]).output()?;
    ensure!(output.status.success(), "{output:?}\n{}", firewall.log());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn open_again(lab: &Lab) -> Result<()> {
    let answer = probe(&lab.stranger, lab.server.v4.into(), CLOSED)?;
    ensure!(answer == Answer::Refused, "still closed: {answer:?}");
    Ok(())
}

#[test]
fn with_an_agent_and_without_and_twice() -> Result<()> {
    let lab = Lab::new()?;
    for extra in [[].as_slice(), &["--keep-attached"]] {
        let mut firewall = Firewall::start(&lab.server, extra)?;
        for dead in [false, true] {
            if dead {
                firewall.launch(extra)?;
                firewall.wait_until_ready()?;
                firewall.end_by(Signal::KILL)?;
            }
            ensure!(detach(&firewall)? == "detached");
            if !dead {
                ensure!(firewall.wait()?.success(), "{}", firewall.log());
            }
            nothing_left(&lab.server, firewall.place())?;
            open_again(&lab)?;
            ensure!(detach(&firewall)? == "nothing to detach");
        }
    }
    Ok(())
}

/// As the unit does it: the file says which ftpfw. What is wrong, or another one's, takes nothing away.
#[test]
fn the_one_of_a_file() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    let place = firewall.place();
    let directory = TempDir::with_prefix("ftpfw-detach-")?;
    let files = ["right", "other", "wrong", "broken"];
    let [right, other, wrong, broken] = files.map(|it| directory.path().join(it));
    let text = |pins: &str| {
        let socket = place.socket.display();
        format!("interfaces = [\"eth0\"]\npin_dir = \"{pins}\"\nsocket = \"{socket}\"\n")
    };
    let pins = place.pins.to_str().context("a path of ASCII")?.to_owned();
    fs::write(&other, text(&format!("{pins}-other")))?;
    // Wrong since the firewall started, but not in what tells which one.
    fs::write(&right, text(&pins) + "mode = \"none\"\nprotekt = []\n")?;
    fs::write(&wrong, text("pins"))?;
    fs::write(&broken, text(&pins) + "mode = \n")?;
    let detach = |file: &Path| {
        let mut command = place.elsewhere(&["detach", "--config"]);
        command.arg(file);
        command
    };
    let said = detach(&other).output()?;
    ensure!(said.stdout == b"nothing to detach\n", "{said:?}");
    refused_by(&mut detach(&wrong), FAILED, &[":2:11: ", "absolute"])?;
    refused_by(&mut detach(&broken), FAILED, &[":4:8: "])?;
    let twice = right.to_str().context("a path of ASCII")?;
    refused(place, &["detach", "--config", twice], USAGE, &["--pin-dir"])?;
    expect_dropped(
        &firewall,
        &lab.client,
        lab.server.v4.into(),
        CLOSED,
        "not-armed",
    )?;
    let said = detach(&right).output()?;
    ensure!(said.stdout == b"detached\n", "{said:?}");
    ensure!(firewall.wait()?.success(), "{}", firewall.log());
    nothing_left(&lab.server, firewall.place())?;
    open_again(&lab)
}

/// An agent that is asked by its pins and answers at another socket is not ended by mistake.
#[test]
fn an_agent_that_does_not_answer_is_left_alone() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    let pid = firewall.pid().to_string();
    let elsewhere = firewall.place().socket.with_file_name("other.sock");
    let mut place = ftpfw_tests::place::Place::new(&lab.server)?;
    place.pins.clone_from(&firewall.place().pins);
    place.socket = elsewhere;
    refused(&place, &["detach"], FAILED, &[&pid, "SIGTERM"])?;
    // One interface of a running agent would be attached to again at once.
    refused(firewall.place(), &["detach", "-i", "eth0"], FAILED, &[&pid])?;
    expect_dropped(
        &firewall,
        &lab.stranger,
        lab.server.v4.into(),
        CLOSED,
        "not-armed",
    )?;
    firewall.stop()?;
    Ok(())
}

#[test]
fn what_is_not_its_own_stays() -> Result<()> {
    let lab = Lab::new()?;
    let netns = &lab.server.netns;
    let mut tc = netns.command("tc");
    let qdisc = tc
        .args(["qdisc", "add", "dev", "eth0", "clsact"])
        .output()?;
    ensure!(qdisc.status.success(), "{qdisc:?}");
    // A program of somebody else's, at the same hook.
    let mut other = Kernel::load(&LoadOptions::default())?;
    let program = other.replies()?;
    let id = program.info()?.id();
    let _link = netns.run(|| program.attach("eth0", TcAttachType::Egress))??;

    for signal in [Signal::TERM, Signal::KILL] {
        let mut firewall = Firewall::start(&lab.server, &[])?;
        let pins = firewall.place().pins.clone();
        // And somebody else's pin beside ours.
        let foreign = pins.join("foreign");
        MapData::from_pin(pins.join(maps::PORTS))?.pin(&foreign)?;
        firewall.end_by(signal)?;
        for _ in 0..2 {
            detach(&firewall)?;
        }
        let left: Vec<_> = fs::read_dir(&pins)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        ensure!(left == [foreign.clone()], "{left:?}");
        let query = || SchedClassifier::query_tcx("eth0", TcAttachType::Egress);
        let (_, programs) = netns.run(query)??;
        let ids: Vec<_> = programs.iter().map(ProgramInfo::id).collect();
        ensure!(ids == [id], "{ids:?}, not {id}");
        let mut tc = netns.command("tc");
        let shown = tc.args(["qdisc", "show", "dev", "eth0"]).output()?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        ensure!(shown.contains("clsact"), "{shown}");
        open_again(&lab)?;
        fs::remove_file(foreign).context("the foreign pin")?;
        fs::remove_dir(pins)?;
    }
    Ok(())
}
