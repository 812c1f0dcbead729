//! The socket's path is taken: by an agent, by a dead one, by something else. Only what a dead one has
//! left is replaced.

use std::fs;
use std::os::unix::net::UnixListener;

use anyhow::{Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::refusal::{FAILED, nothing_on, refused};
use rustix::process::Signal;

const RUN: [&str; 3] = ["run", "-i", "eth0"];

#[test]
fn by_a_living_agent() -> Result<()> {
    let lab = Lab::new()?;
    let first = Firewall::start(&lab.server, &["--mode", "tc"])?;
    let mut second = Place::new(&lab.server)?;
    second.socket.clone_from(&first.place().socket);
    let path = second.socket.display().to_string();
    refused(
        &second,
        &RUN,
        FAILED,
        &["another process answers on", &path],
    )?;
    ensure!(!second.pins.exists(), "pins are left behind");
    first.events(&[])?;
    Ok(())
}

#[test]
fn by_a_process_that_is_no_agent() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let _listener = UnixListener::bind(&place.socket)?;
    refused(&place, &RUN, FAILED, &["another process answers on"])?;
    ensure!(place.socket.exists(), "it was removed");
    nothing_on(&lab.server, "eth0")
}

#[test]
fn by_a_dead_agent() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.end_by(Signal::KILL)?;
    ensure!(firewall.place().socket.exists(), "who removed the socket?");
    firewall.launch(&[])?;
    firewall.wait_until_ready()?;
    firewall.events(&[])?;
    firewall.stop()?;
    ensure!(!firewall.place().socket.exists(), "it is left behind");
    Ok(())
}

#[test]
fn by_what_is_no_socket() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let path = place.socket.display().to_string();
    fs::write(&place.socket, "precious")?;
    for _ in 0..2 {
        refused(&place, &RUN, FAILED, &["is no socket", &path, "--socket"])?;
        ensure!(
            fs::read(&place.socket)? == b"precious",
            "it was overwritten"
        );
    }
    // After a crash, `detach` looks for the socket too.
    let detached = place.command(&["detach"]).output()?;
    ensure!(detached.status.success(), "{detached:?}");
    ensure!(fs::read(&place.socket)? == b"precious", "it was removed");
    nothing_on(&lab.server, "eth0")
}

#[test]
fn its_directory_is_none() -> Result<()> {
    let lab = Lab::new()?;
    let mut place = Place::new(&lab.server)?;
    fs::write(&place.socket, "precious")?;
    let file = place.socket.display().to_string();
    place.socket.push("agent.sock");
    refused(&place, &RUN, FAILED, &["cannot make", &file])?;
    ensure!(!place.pins.exists(), "pins are left behind");
    nothing_on(&lab.server, "eth0")
}
