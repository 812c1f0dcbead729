//! A record for each data connection: who, what, how much, how it ended.

use std::fs;
use std::io::Write as _;
use std::net::Shutdown;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Tool;
use ftpfw_tests::control::read_all;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::place::Place;
use ftpfw_tests::refusal::{FAILED, refused};
use ftpfw_tests::report::{Event, Transfer};
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::wait;
use rustix::process::Signal;
use serde_json::Value;

/// Waits for so many transfers.
fn told(firewall: &Firewall, times: usize) -> Result<Vec<Event>> {
    let mut seen = Vec::new();
    let done = wait::until(&format!("{times} transfers"), || {
        let events = firewall.events(&[])?.into_iter();
        seen = events.filter(|it| it.event == "transfer").collect();
        Ok((seen.len() >= times).then_some(()))
    });
    done.with_context(|| format!("{seen:?}\n{}", firewall.log()))?;
    Ok(seen)
}

fn what(event: &Event) -> Result<&Transfer> {
    event.transfer.as_ref().context("a transfer without one")
}

#[test]
fn downloads_uploads_and_what_failed() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let (mut client, mut server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR a b.txt", "S 150 here it comes"])?;
    server.write_all(&[7; 12_345])?;
    drop(server);
    ensure!(
        read_all(&mut client)?.len() == 12_345,
        "other bytes arrived"
    );
    drop(client);
    ensure!(
        told(&scene.firewall, 0)?.is_empty(),
        "told before it was concluded"
    );
    talk.s(b"226 done\r\n")?;
    told(&scene.firewall, 1)?;

    let (mut client, mut server) = scene.connect(&mut talk)?;
    talk.play(&["C STOR up.bin", "S 150 go on"])?;
    client.write_all(&[8; 4321])?;
    client.shutdown(Shutdown::Write)?;
    ensure!(read_all(&mut server)?.len() == 4321, "other bytes arrived");
    drop((server, client));
    talk.s(b"226 done\r\n")?;
    told(&scene.firewall, 2)?;

    let (client, server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR secret\x1b[2J", "S 550 no such file"])?;
    drop(server);
    drop(client);
    let told = told(&scene.firewall, 3)?;
    let expected = [
        ("RETR", "a b.txt", "download", 12_345, "complete", 226),
        ("STOR", "up.bin", "upload", 4321, "complete", 226),
        ("RETR", "secret\\u{1b}[2J", "download", 0, "failed", 550),
    ];
    for (event, expected) in told.iter().zip(expected) {
        let it = what(event)?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let found = (
            text(&it.command),
            text(&it.path),
            text(&it.direction),
            it.bytes.context("no bytes")?,
            it.ended.clone(),
            it.reply.context("no reply")?,
        );
        let found = (
            found.0.as_str(),
            found.1.as_str(),
            found.2.as_str(),
            found.3,
            found.4.as_str(),
            found.5,
        );
        ensure!(found == expected, "{found:?}, not {expected:?}");
        ensure!(
            it.duration_ms.is_some() && event.session.is_some(),
            "{event:?}"
        );
        ensure!(event.user.as_deref() == Some("someone"), "{event:?}");
        ensure!(!event.text.contains('\x1b'), "{event:?}");
    }
    Ok(())
}

/// A data connection outlives its session, and is told of all the same; one that nobody made is not.
#[test]
fn what_outlives_its_session_and_what_never_was() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let (client, mut server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR long", "S 150 here it comes"])?;
    server.write_all(b"12345")?;
    drop(talk);
    let closed = || -> Result<Option<()>> {
        let events = scene.firewall.events(&[])?;
        Ok(events.iter().any(|it| it.event == "closed").then_some(()))
    };
    wait::until("the session's end", closed)?;
    ensure!(told(&scene.firewall, 0)?.is_empty(), "told before its end");
    drop(server);
    drop(client);
    let told_now = told(&scene.firewall, 1)?;
    let it = what(&told_now[0])?;
    ensure!(
        it.path.as_deref() == Some("long") && it.ended == "unknown",
        "{it:?}"
    );
    // Negotiated and never made.
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    talk.play(&["C RETR other", "S 425 nobody came"])?;
    let (client, server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR third", "S 150 here it comes"])?;
    drop(server);
    drop(client);
    talk.s(b"226 done\r\n")?;
    let told_now = told(&scene.firewall, 2)?;
    ensure!(
        what(&told_now[1])?.path.as_deref() == Some("third"),
        "{told_now:?}"
    );
    ensure!(told_now.len() == 2, "{told_now:?}");
    Ok(())
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

#[test]
fn the_file_survives_rotation() -> Result<()> {
    let lab = Lab::new()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("transfers.jsonl");
    let moved = directory.path().join("transfers.jsonl.1");
    let words = ["--transfer-log", path.to_str().context("a path of ASCII")?];
    let mut scene = Scene::with(&lab, &words)?;
    let mut talk = scene.logged_in()?;
    let mut transfer = |scene: &Scene<'_>| scene.still_works(&mut talk);
    let wait_for = |path: &Path, number: usize| {
        wait::until(&format!("{number} lines"), || {
            Ok((lines(path)?.len() == number).then_some(()))
        })
    };
    transfer(&scene)?;
    wait_for(&path, 1)?;
    fs::rename(&path, &moved)?;
    transfer(&scene)?;
    wait_for(&path, 1)?;
    ensure!(
        lines(&moved)?.len() == 1,
        "written to the file that was moved away"
    );
    fs::remove_file(&path)?;
    scene.firewall.signal(Signal::HUP)?;
    wait::until("a new file", || Ok(path.exists().then_some(())))?;
    transfer(&scene)?;
    wait_for(&path, 1)?;
    let line = &lines(&path)?[0];
    for (name, value) in [
        ("command", "RETR"),
        ("path", "file"),
        ("user", "someone"),
        ("mode", "passive"),
        ("direction", "download"),
        ("ended", "complete"),
    ] {
        ensure!(line[name] == value, "{name} in {line}");
    }
    ensure!(line["bytes"] == 8 && line["server_port"] == PORT, "{line}");
    let text = [fs::read_to_string(&path)?, fs::read_to_string(&moved)?].concat();
    ensure!(!text.contains("word"), "the password is in {text}");
    // A place where nothing can be written is refused before anything is attached.
    let place = Place::new(&lab.client)?;
    let words = [
        "run",
        "-i",
        "eth0:tc",
        "--transfer-log",
        "/nonexistent/transfers",
    ];
    refused(&place, &words, FAILED, &["/nonexistent/transfers"])
}

/// A real daemon and a real client, both ways and both modes: the bytes are those of the files.
#[test]
fn a_real_daemon() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, Family::V4))?;
    let cells = Cell::all(Tool::Curl, Family::V4);
    let mut number = 0;
    for cell in cells {
        run_cell(&lab.client, &server, Daemon::Vsftpd, cell)?;
        number += 3;
    }
    let told = told(&firewall, number)?;
    for event in &told {
        let it = what(event)?;
        ensure!(it.command.is_some() && it.ended == "complete", "{event:?}");
    }
    let of = |mode: &str, command: &str| {
        let all = told
            .iter()
            .filter(move |it| it.mode.as_deref() == Some(mode));
        let all = all.filter_map(|it| it.transfer.as_ref());
        let found = all.filter(|it| it.command.as_deref() == Some(command));
        found.map(|it| it.bytes).collect::<Vec<_>>()
    };
    // What goes up comes down, and SYN and FIN are no bytes in either mode.
    let sizes = of("passive", "RETR");
    ensure!(
        sizes.iter().all(|it| it.is_some_and(|bytes| bytes > 0)),
        "{told:?}"
    );
    for (mode, command) in [("active", "RETR"), ("active", "STOR"), ("passive", "STOR")] {
        let found = of(mode, command);
        ensure!(!found.is_empty(), "no {mode} {command}: {told:?}");
        ensure!(
            found.iter().all(|it| sizes.contains(it)),
            "{mode} {command}: {found:?}, {sizes:?}"
        );
    }
    Ok(())
}
