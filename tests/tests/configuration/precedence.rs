//! What is a flag goes before what is in the file, and that before the default.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::scene::{LOGIN, PORT};
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::wait;

use crate::{File, eth0};

/// Insists on these ports being open, and on the others being closed.
fn open(lab: &Lab, firewall: &Firewall, open: &[u16], closed: &[u16]) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let server = lab.server.address(family);
        for port in open {
            let answer = probe(&lab.client, server, *port)?;
            ensure!(answer == Answer::Refused, "port {port}: {answer:?}");
        }
        for port in closed {
            expect_dropped(firewall, &lab.client, server, *port, "not-armed")?;
        }
    }
    Ok(())
}

#[test]
fn what_the_file_says_holds() -> Result<()> {
    let lab = Lab::new()?;
    let text = eth0() + "protect = [\"2000-4000\", 5000]\nopen_ports = [\"2100-2101/tcp\", 3000]\n";
    let firewall = File::new(&text)?.start(&lab, &[])?;
    open(
        &lab,
        &firewall,
        &[1024, 1999, 2100, 2101, 3000, 4001, 5001],
        &[2000, 2099, 2102, 4000, 5000],
    )
}

#[test]
fn a_list_of_flags_takes_the_place_of_the_files() -> Result<()> {
    let lab = Lab::new()?;
    let text = eth0() + "protect = [\"2000-3000\"]\nopen_ports = [2100]\ndry_run = true\n";
    let words = ["--open-port", "2200/tcp", "--dry-run=false"];
    let firewall = File::new(&text)?.start(&lab, &words)?;
    open(&lab, &firewall, &[2200, 3001], &[2000, 2100])
}

/// The control port of the file is followed, that of the flags instead of it, and 21 without either.
#[test]
fn the_ports_of_control_connections() -> Result<()> {
    for (key, words, wanted) in [
        ("control_ports = [2121]\n", [].as_slice(), 2121),
        (
            "control_ports = [2121]\n",
            &["--control-port", "2122"],
            2122,
        ),
        ("", &[], 21),
    ] {
        let lab = Lab::new()?;
        let firewall = File::new(&(eth0() + key))?.start(&lab, words)?;
        let others: Vec<u16> = [2121, 2122]
            .into_iter()
            .filter(|it| *it != wanted)
            .collect();
        open(&lab, &firewall, &[wanted], &others)?;
    }
    Ok(())
}

/// An armed tuple lives as long as the file says.
#[test]
fn the_lifetime_of_a_tuple() -> Result<()> {
    let lab = Lab::new()?;
    let text = eth0() + "[timeouts]\ntuple = \"1s\"\n";
    let firewall = File::new(&text)?.start(&lab, &[])?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let _data = server.listen(PORT)?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;
    talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
    // The default is two minutes, longer than this waits.
    wait::until("the tuple to expire", || {
        let mut events = firewall.events(&[])?.into_iter();
        Ok(events.find(|event| event.reason.as_deref() == Some("expired")))
    })
    .with_context(|| firewall.log())?;
    Ok(())
}
