//! A log that nobody can write: the disk is full, or who read it is gone.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::refusal::nothing_left;
use ftpfw_tests::wait;
use rustix::process::{Pid, Signal, kill_process};

const PORT: u16 = 45_000;

/// Runs with that standard error, does its work, answers, and ends when it is asked to.
fn works_with(stderr: Stdio) -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let mut run: Command = place.command(&["run", "-i", "eth0"]);
    let mut child = run.stdout(Stdio::null()).stderr(stderr).spawn()?;
    let answers = wait::until("an answer of the agent", || {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(Err(anyhow::anyhow!("it ended with {status}"))));
        }
        let events = place.command(&["events"]).output()?;
        Ok(events.status.success().then_some(Ok(())))
    })?;
    let works = answers.and_then(|()| {
        let answer = probe(&lab.client, lab.server.v4.into(), PORT)?;
        ensure!(answer == Answer::Silent, "{answer:?}");
        // One more line in the log, of an interface that it was not asked about by now.
        lab.server
            .netns
            .ip("link set eth0 down\nlink set eth0 name lan0\nlink set lan0 up")?;
        wait::until("the event of a rename", || {
            let events = place.command(&["events"]).output()?;
            ensure!(events.status.success(), "{events:?}");
            let said = String::from_utf8_lossy(&events.stdout).contains("lan0");
            Ok(said.then_some(()))
        })?;
        lab.server
            .netns
            .ip("link set lan0 down\nlink set lan0 name eth0\nlink set eth0 up")
    });
    if child.try_wait()?.is_none() {
        kill_process(Pid::from_child(&child), Signal::TERM)?;
    }
    let status = wait::exit("ftpfw", &mut child)?;
    let detached = place.command(&["detach"]).output()?;
    works?;
    ensure!(
        status.success() && detached.status.success(),
        "{status}, {detached:?}"
    );
    nothing_left(&lab.server, &place)
}

#[test]
fn the_disk_is_full() -> Result<()> {
    let full = OpenOptions::new().write(true).open("/dev/full");
    works_with(full.context("open /dev/full")?.into())
}

#[test]
fn its_reader_is_gone() -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    works_with(writer.into())
}
