//! `ftpfw list`: who, what, in which order, and in little memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::{keys::TupleKey, values::Mode};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::refusal::{FAILED, USAGE, refused};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::Scripted;
use ftpfw_user::kernel::{
    Wire, clock,
    tuples::{Arming, Owner},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{FAMILIES, kill_agent, maps, opaque, run, said};

const HOUR: u64 = 3_600_000_000_000;
const LISTS: [&str; 5] = ["tuples", "sessions", "flows", "listeners", "ports"];

fn list(firewall: &Firewall, words: &[&str]) -> Result<Vec<Value>> {
    firewall.query(&[&["list"], words].concat())
}

fn field<'a>(rows: &'a [Value], name: &str) -> Vec<&'a Value> {
    rows.iter().map(|row| &row[name]).collect()
}

/// Arms a tuple for the server's PORT.
fn arm(firewall: &Firewall, client: IpAddr, lab: &Lab, port: u16) -> Result<()> {
    let server = IpAddr::V4(lab.server.v4);
    let key = TupleKey::passive(client.into(), server.into(), port);
    let owner = Owner::new(u64::from(port), Mode::Passive);
    maps(firewall)?.tuples()?.arm(key, owner, HOUR)?;
    Ok(())
}

#[test]
fn nothing_is_said_in_words() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for what in ["tuples", "sessions", "flows", "listeners"] {
        ensure!(said(&firewall, &["list", what])? == format!("no {what}\n"));
        ensure!(list(&firewall, &[what])?.is_empty(), "{what}");
    }
    let ports = list(&firewall, &["ports"])?;
    ensure!(field(&ports, "first") == [21, 990], "{ports:?}");
    ensure!(field(&ports, "implicit_tls") == [false, true], "{ports:?}");
    Ok(())
}

#[test]
fn each_list_has_what_there_is() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--open-port", "9000-9010/udp"])?;
        let daemon = Scripted::start(&lab.server, family)?;
        let _talk = opaque(&lab, &daemon)?;
        let _listener = daemon.listen(PORT)?;
        let (client, server) = (lab.client.address(family), lab.server.address(family));
        // A question and no answer: a flow of UDP.
        let socket = lab.server.netns.run(|| UdpSocket::bind((server, 5353)))??;
        socket.send_to(b"?", (client, 53))?;

        let listeners = list(&firewall, &["listeners"])?;
        ensure!(field(&listeners, "port") == [PORT], "{listeners:?}");
        let flows = list(&firewall, &["flows"])?;
        let udp: Vec<_> = flows.iter().filter(|it| it["protocol"] == "udp").collect();
        ensure!(udp.len() == 1, "{flows:?}");
        ensure!(udp[0]["remote"] == client.to_string(), "{flows:?}");
        ensure!(udp[0]["remote_port"] == 53 && udp[0]["local_port"] == 5353);
        ensure!(udp[0]["state"] == "live", "{flows:?}");
        let stranger = lab.stranger.address(family).to_string();
        let others = list(&firewall, &["flows", "--client", &stranger])?;
        ensure!(others.is_empty(), "{others:?}");
        let sessions = list(&firewall, &["sessions"])?;
        ensure!(field(&sessions, "tls") == [true], "{sessions:?}");

        let ports = list(&firewall, &["ports"])?;
        ensure!(field(&ports, "first") == [21, 990, 9000, PORT], "{ports:?}");
        ensure!(field(&ports, "last") == [21, 990, 9010, PORT], "{ports:?}");
        ensure!(field(&ports, "listeners") == [0, 0, 0, 1], "{ports:?}");
        ensure!(ports[2]["udp"] == "open" && ports[2]["tcp"] == "closed");
        // As the agent does when another program listens there.
        maps(&firewall)?.ports()?.set_foreign(OTHER);
        let ports = list(&firewall, &["ports", "--sort", "foreign", "--reverse"])?;
        ensure!(ports[0]["first"] == OTHER && ports[0]["foreign"] == true);
        let table = said(&firewall, &["list", "ports"])?;
        for words in ["9000-9010", "another program's"] {
            ensure!(table.contains(words), "{words:?}: {table}");
        }
        let asked = crate::ends("explain", client, server, OTHER);
        let (code, why) = crate::answer(&firewall, &crate::words(&asked))?;
        let text = why["text"].as_str().context("a text")?;
        ensure!(
            code == Some(1) && text.contains("no FTP daemon listens"),
            "{why}"
        );
    }
    Ok(())
}

/// What the agent knows of sessions is more, but their number is the kernel's.
#[test]
fn sessions_without_an_agent() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let _talk = scene.logged_in()?;
    let with = list(&scene.firewall, &["sessions"])?;
    ensure!(field(&with, "user") == ["someone"], "{with:?}");
    kill_agent(&mut scene.firewall)?;
    let without = list(&scene.firewall, &["sessions"])?;
    ensure!(field(&without, "user") == [&Value::Null], "{without:?}");
    let output = run(&scene.firewall, &["list", "sessions"])?;
    ensure!(output.status.success(), "{output:?}");
    let note = String::from_utf8(output.stderr)?;
    ensure!(note.starts_with("ftpfw: no agent answers on "), "{note}");
    for name in ["id", "client", "client_port", "state"] {
        ensure!(with[0][name] == without[0][name], "{name}: {without:?}");
    }
    Ok(())
}

/// What somebody has seen happen, the agent knows when he asks, however late it looks.
#[test]
fn an_agent_that_stood_still_knows_all() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let mut talks = Vec::new();
    for number in 1..=20 {
        scene.firewall.signal(Signal::STOP)?;
        talks.push(scene.logged_in()?);
        let mut socket = UnixStream::connect(&scene.firewall.place().socket)?;
        socket.write_all(b"GET /sessions HTTP/1.1\r\nHost: ftpfw\r\nConnection: close\r\n\r\n")?;
        scene.firewall.signal(Signal::CONT)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let known = answer.matches("\"someone\"").count();
        ensure!(known == number, "{known} of {number}: {answer}");
    }
    Ok(())
}

#[test]
fn only_whom_and_how_many_and_in_which_order() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let clients: Vec<_> = [9, 10, 2, 100]
        .map(|it| Ipv4Addr::new(192, 0, 2, it))
        .into();
    for (index, client) in (0..).zip(&clients) {
        arm(&firewall, (*client).into(), &lab, PORT + index)?;
        arm(&firewall, (*client).into(), &lab, OTHER + 100 - index)?;
    }
    let all = list(&firewall, &["tuples"])?;
    ensure!(all.len() == 8, "{all:?}");
    let by_client = list(&firewall, &["tuples", "--sort", "client"])?;
    let expected = [2, 2, 9, 9, 10, 10, 100, 100].map(|it| Value::from(format!("192.0.2.{it}")));
    let expected: Vec<_> = expected.iter().collect();
    ensure!(field(&by_client, "client") == expected, "{by_client:?}");
    let greatest = ["tuples", "--sort", "port", "--reverse", "--limit", "2"];
    let greatest = list(&firewall, &greatest)?;
    ensure!(field(&greatest, "port") == [OTHER + 100, OTHER + 99]);
    let one = list(&firewall, &["tuples", "--client", "192.0.2.10"])?;
    let ports: BTreeSet<_> = one.iter().filter_map(|it| it["port"].as_u64()).collect();
    let expected = [PORT + 1, OTHER + 99].map(u64::from);
    ensure!(
        ports == BTreeSet::from(expected) && one.len() == 2,
        "{one:?}"
    );
    let mapped = list(&firewall, &["tuples", "--client", "::ffff:192.0.2.10"])?;
    ensure!(mapped.len() == 2, "{mapped:?}");
    for (limit, rows) in [("0", 0), ("3", 3), ("99", 8)] {
        let rows_ = list(&firewall, &["tuples", "--limit", limit])?;
        ensure!(rows_.len() == rows, "--limit {limit}: {rows_:?}");
        let table = said(&firewall, &["list", "tuples", "--limit", limit])?;
        ensure!(table.lines().count() == rows + 1 || rows == 0, "{table}");
    }
    Ok(())
}

/// What `--json` shows can be sorted by, and nothing else.
#[test]
fn every_field_is_a_column_to_sort_by() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let daemon = Scripted::start(&lab.server, FAMILIES[0])?;
    let _talk = opaque(&lab, &daemon)?;
    let _listener = daemon.listen(PORT)?;
    arm(&firewall, lab.client.v4.into(), &lab, OTHER)?;
    let socket = lab
        .server
        .netns
        .run(|| UdpSocket::bind((lab.server.v4, 5353)))??;
    socket.send_to(b"?", (lab.client.v4, 53))?;
    for what in LISTS {
        let rows = list(&firewall, &[what])?;
        let row = rows.first().and_then(Value::as_object);
        for name in row.with_context(|| format!("no {what}"))?.keys() {
            let sorted = list(&firewall, &[what, "--sort", name])?;
            ensure!(sorted.len() == rows.len(), "{what} by {name}: {sorted:?}");
        }
        let words = ["list", what, "--sort", "colour"];
        refused(
            firewall.place(),
            &words,
            USAGE,
            &["\"colour\"", "there are"],
        )?;
    }
    let words = ["list", "ports", "--client", "192.0.2.1"];
    refused(firewall.place(), &words, USAGE, &["ports have no client"])?;
    refused(
        firewall.place(),
        &["list", "tuples", "--reverse"],
        USAGE,
        &["--sort"],
    )
}

/// Entries of each of the two maps of tuples; together the rows of the biggest list.
const MANY: u32 = 50_000;

/// The most memory that `ftpfw list tuples WORDS…` needed, kB, and how many lines it printed.
fn memory(firewall: &Firewall, words: &[&str]) -> Result<(u64, usize)> {
    let words = [&["list", "tuples"], words].concat();
    let mut child = firewall
        .place()
        .command(&words)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
    let (mut lines, mut peak, mut line) = (0, 0, String::new());
    while output.read_line(&mut line)? > 0 {
        lines += 1;
        // It cannot end before the last thousand lines are read: the pipe does not hold them.
        if lines == 2 * MANY as usize - 1000 {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            let of = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = of.and_then(|it| it.trim().strip_suffix(" kB"));
            peak = number.context("no VmHWM")?.parse()?;
        }
        line.clear();
    }
    ensure!(child.wait()?.success(), "{words:?}");
    Ok((peak, lines))
}

#[test]
fn a_hundred_thousand_rows_do_not_build_up() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    kill_agent(&mut firewall)?;
    let maps = maps(&firewall)?;
    let (mut tuples, armed, mut claimed) = (maps.tuples()?, maps.armed()?, maps.claimed()?);
    let server: IpAddr = lab.server.v4.into();
    for number in 0..MANY {
        let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a80_0000 + number));
        let key = TupleKey::passive(client.into(), server.into(), PORT);
        let owner = Owner::new(u64::from(number), Mode::Passive);
        ensure!(tuples.arm(key, owner, HOUR)? == Arming::New, "{number}");
        let tuple = armed.get(&Wire(key), 0)?;
        let connection = TupleKey {
            client_port: 40_000,
            ..key
        };
        claimed.insert(Wire(connection), tuple, 0)?;
    }
    let begin = clock::now();
    let (streamed, lines) = memory(&firewall, &[])?;
    eprintln!("{streamed} kB, {} ms", (clock::now() - begin) / 1_000_000);
    ensure!(lines == 2 * MANY as usize + 1, "{lines} lines");
    let (json, _) = memory(&firewall, &["--json"])?;
    let (sorted, lines) = memory(&firewall, &["--sort", "client"])?;
    ensure!(lines == 2 * MANY as usize + 1, "{lines} lines, sorted");
    eprintln!("{json} kB as JSON, {sorted} kB sorted");
    for (what, peak) in [("table", streamed), ("JSON", json)] {
        ensure!(peak < 24_000, "{what}: {peak} kB");
    }
    ensure!(sorted > streamed + 10_000, "{sorted} kB to sort them all?");
    // Each of them, and once.
    let rows = list(&firewall, &["tuples"])?;
    let key = |it: &Value| format!("{} {}", it["client"], it["state"]);
    let keys: BTreeSet<_> = rows.iter().map(key).collect();
    ensure!(keys.len() == 2 * MANY as usize, "{} different", keys.len());
    let status: Value = firewall.query(&["status"])?;
    ensure!(
        status["armed"] == MANY && status["claimed"] == MANY,
        "{status}"
    );
    Ok(())
}

#[test]
fn a_list_of_nothing_attached() -> Result<()> {
    let lab = Lab::new()?;
    let place = ftpfw_tests::place::Place::new(&lab.server)?;
    for what in LISTS {
        refused(&place, &["list", what], FAILED, &["not attached"])?;
    }
    Ok(())
}
