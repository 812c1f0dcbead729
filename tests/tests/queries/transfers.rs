//! `ftpfw list transfers`: bytes, rate and length of data connections that go on.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, accept, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::refusal::{USAGE, refused};
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::wait;
use serde_json::Value;

use crate::{kill_agent, run, said};

/// More than the buffers of two sockets hold.
const LONG: u64 = 64 << 20;
const CHUNK: [u8; 10_000] = [7; 10_000];

/// So many chunks go from one end to the other.
pub fn pump(from: &mut TcpStream, to: &mut TcpStream, chunks: usize) -> Result<()> {
    for _ in 0..chunks {
        from.write_all(&CHUNK)?;
        to.read_exact(&mut CHUNK.clone())?;
    }
    Ok(())
}

/// Waits until the only transfer has had so many bytes.
fn counted(firewall: &Firewall, bytes: u64) -> Result<Value> {
    let mut seen = Vec::new();
    let there = wait::until(&format!("{bytes} bytes"), || {
        seen = firewall.query::<Vec<Value>>(&["list", "transfers"])?;
        Ok(match &seen[..] {
            [row] if row["bytes"] == bytes => Some(row.clone()),
            _ => None,
        })
    });
    there.with_context(|| format!("{seen:?}"))
}

#[test]
fn a_download_grows_to_its_length() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    ensure!(said(&scene.firewall, &["list", "transfers"])?.contains("no transfers"));
    let mut talk = scene.logged_in()?;
    let (mut client, mut server) = scene.connect(&mut talk)?;
    talk.play(&[
        "C SIZE big.iso",
        "S 213 1000000",
        "C RETR big.iso",
        "S 150 ok",
    ])?;
    for (chunks, bytes) in [(0, 0), (25, 250_000), (50, 750_000)] {
        pump(&mut server, &mut client, chunks)?;
        let row = counted(&scene.firewall, bytes)?;
        for (name, value) in [
            ("command", "RETR"),
            ("path", "big.iso"),
            ("direction", "download"),
            ("user", "someone"),
            ("mode", "passive"),
        ] {
            ensure!(row[name] == value, "{name} in {row}");
        }
        ensure!(row["length"] == 1_000_000 && row["port"] == PORT, "{row}");
        let rate = row["bytes_per_second"].as_u64();
        ensure!(rate.is_some_and(|rate| (rate > 0) == (bytes > 0)), "{row}");
    }
    let table = said(&scene.firewall, &["list", "transfers"])?;
    for text in ["750 kB", "1.0 MB", "75 %", "B/s", "RETR big.iso"] {
        ensure!(table.contains(text), "no {text:?} in {table}");
    }
    let client_address = lab.client.v4.to_string();
    let of = |address: &str| said(&scene.firewall, &["list", "transfers", "--client", address]);
    ensure!(of(&client_address)?.contains("big.iso"));
    ensure!(of("192.0.2.99")?.contains("no transfers"));
    refused(
        scene.firewall.place(),
        &["list", "transfers", "--sort", "size"],
        USAGE,
        &["bytes"],
    )?;

    // Without the agent the kernel still counts, and what it does not know is said.
    kill_agent(&mut scene.firewall)?;
    let row = counted(&scene.firewall, 750_000)?;
    for name in ["length", "command", "path", "user"] {
        ensure!(row[name].is_null(), "{name} in {row}");
    }
    let output = run(&scene.firewall, &["list", "transfers"])?;
    let warned = String::from_utf8_lossy(&output.stderr).contains("lengths are not known");
    ensure!(output.status.success() && warned, "{output:?}");
    Ok(())
}

/// A length that nobody has told, or that is of something else, is none.
#[test]
fn what_the_server_has_not_said_is_not_shown() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    for (script, bytes, length) in [
        (&["C RETR a", "S 150 here it comes"][..], 10_000, None),
        (
            &["C RETR a", "S 150 for a (20000 bytes)."],
            10_000,
            Some(20_000),
        ),
        // More came than was said.
        (&["C RETR a", "S 150 for a (5000 bytes)."], 10_000, None),
        (
            &[
                "C SIZE a",
                "S 213 20000",
                "C CWD d",
                "S 250 ok",
                "C RETR a",
                "S 150 ok",
            ],
            10_000,
            None,
        ),
        (
            &["C SIZE a", "S 213 20000", "C STOR a", "S 150 ok"],
            0,
            None,
        ),
    ] {
        let mut talk = scene.logged_in()?;
        let (mut client, mut server) = scene.connect(&mut talk)?;
        talk.play(script)?;
        pump(&mut server, &mut client, 1)?;
        let row = counted(&scene.firewall, bytes)?;
        ensure!(row["length"].as_u64() == length, "{script:?}: {row}");
        drop((client, server, talk));
        scene
            .firewall
            .wait_for_tuples("the transfer's end", <[_]>::is_empty)?;
    }
    Ok(())
}

/// The SYN of a connection that the server opens is no byte of the file's.
#[test]
fn an_active_one_begins_at_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let address = SocketAddr::new(lab.client.v4.into(), PORT);
    let listener = lab.client.netns.run(|| TcpListener::bind(address))??;
    scene.play(
        &mut talk,
        &[
            "C PORT {c},{p}",
            "S 200 ok",
            "C RETR a",
            "S 150 (20000 bytes)",
        ],
    )?;
    let mut server = scene.server.dial_from_20(address)?;
    let mut client = accept(&listener)?;
    server.set_nonblocking(false)?;
    // The sockets may be ahead of the agent.
    let row = wait::until("the agent to have read the lines", || {
        let row = counted(&scene.firewall, 0)?;
        Ok((!row["command"].is_null()).then_some(row))
    })?;
    ensure!(row["mode"] == "active" && row["length"] == 20_000, "{row}");
    pump(&mut server, &mut client, 1)?;
    counted(&scene.firewall, 10_000)?;
    Ok(())
}

/// Real daemons, and a client that stops reading: what they say of the length is understood.
#[test]
fn daemons_and_a_client_that_pauses() -> Result<()> {
    for (daemon, family, mode, asks) in [
        (Daemon::Vsftpd, Family::V4, Mode::Pasv, false),
        (Daemon::Vsftpd, Family::V6, Mode::Eprt, false),
        (Daemon::Proftpd, Family::V4, Mode::Epsv, false),
        (Daemon::PureFtpd, Family::V4, Mode::Pasv, true),
    ] {
        paused(daemon, family, mode, asks).with_context(|| daemon.name())?;
    }
    Ok(())
}

fn paused(daemon: Daemon, family: Family, mode: Mode, asks: bool) -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let server = FtpServer::start(&lab.server, &Options::new(daemon, family))?;
    File::create(server.root().join("long.bin"))?.set_len(LONG)?;
    let mut control = Control::login(&lab.client.netns, (server.address, 21))?;
    if asks {
        control.expect("SIZE long.bin", 213)?;
    }
    let negotiated = control.negotiate(mode)?;
    let dialled = match mode.is_passive() {
        true => Some(control.data(&negotiated)?),
        false => None,
    };
    control.send("RETR long.bin")?;
    let mut data = dialled.map_or_else(|| control.data(&negotiated), Ok)?;
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 125 | 150), "{reply:?}");

    let mut read = 0;
    let mut before = 0;
    for share in [0, LONG / 4, LONG / 2] {
        while read < share {
            read += data.read(&mut [0; 1 << 16])? as u64;
        }
        let mut row = Value::Null;
        // The socket has counted bytes before the agent has read the lines that belong to them.
        let grown = wait::until("more bytes of a known length", || {
            let rows: Vec<Value> = firewall.query(&["list", "transfers"])?;
            row = rows.into_iter().next().unwrap_or_default();
            let bytes = row["bytes"].as_u64().filter(|_| row["length"] == LONG);
            Ok(bytes.filter(|bytes| *bytes > before && *bytes >= read))
        });
        before = grown.with_context(|| format!("{row} after {reply:?}"))?;
        ensure!(before < LONG, "{row}");
        ensure!(row["bytes_per_second"].as_u64() > Some(0), "{row}");
    }
    ensure!(
        read + read_all(&mut data)?.len() as u64 == LONG,
        "other bytes came"
    );
    Ok(())
}
