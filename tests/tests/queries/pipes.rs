//! `ftpfw … | head`: who reads no further is content, and so is ftpfw.

use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place;
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::wait;

/// Runs a command whose reader goes away after `bytes`; what it says to standard error.
fn left(command: &mut Command, bytes: usize) -> Result<(Option<i32>, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().expect("it is piped");
    output.read_exact(&mut vec![0; bytes])?;
    drop(output);
    let status = wait::exit(&format!("{command:?}"), &mut child)?;
    let mut said = String::new();
    child
        .stderr
        .take()
        .expect("it is piped")
        .read_to_string(&mut said)?;
    Ok((status.code(), said))
}

fn content(command: &mut Command, code: i32) -> Result<()> {
    for bytes in [0, 1] {
        let (status, said) = left(command, bytes)?;
        ensure!(status == Some(code), "{command:?}: {status:?}: {said}");
        ensure!(said.is_empty(), "{command:?}: {said}");
    }
    Ok(())
}

#[test]
fn nobody_reads_on() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    let (client, stranger) = (lab.client.v4.to_string(), lab.stranger.v4.to_string());
    let (server, port) = (lab.server.v4.to_string(), PORT.to_string());
    let ends = [server.as_str(), &port];
    for words in [
        ["list", "tuples"].as_slice(),
        &["list", "tuples", "--sort", "age_ms"],
        &["list", "sessions"],
        &["list", "flows"],
        &["list", "listeners"],
        &["list", "ports"],
        &["stats"],
        &["stats", "--watch"],
        &["status"],
        &["events"],
        &["events", "--follow"],
        &["explain", &client, ends[0], ends[1]],
        &["allow", &client, ends[0], "50077"],
    ] {
        content(&mut scene.firewall.place().command(words), 0)?;
        let json = [words, &["--json"]].concat();
        content(&mut scene.firewall.place().command(&json), 0)?;
    }
    // A "no" stays one.
    let words = ["explain", &stranger, ends[0], ends[1]];
    content(&mut scene.firewall.place().command(&words), 1)?;
    // What was to be done is done, heard or not.
    let words = ["revoke", &client, ends[0], "50077"];
    let (status, said) = left(&mut scene.firewall.place().command(&words), 0)?;
    ensure!(status == Some(0) && said.is_empty(), "{status:?}: {said}");
    let armed = scene.firewall.tuples()?;
    ensure!(armed.len() == 1, "{armed:?}");
    Ok(())
}

/// These need no place.
#[test]
fn nobody_reads_documents_on() -> Result<()> {
    let capture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/captures/proftpd.ftplib-pasv.v4.pcap"
    );
    for words in [
        ["man"].as_slice(),
        &["completions", "bash"],
        &["--help"],
        &["--version"],
        &["help", "list"],
        &["replay", capture],
        &["replay", capture, "--json"],
    ] {
        content(Command::new(place::program()?).args(words), 0)?;
    }
    Ok(())
}
