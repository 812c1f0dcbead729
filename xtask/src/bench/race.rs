//! Does the tuple open before the client's SYN arrives?
//!
//! Clients in the next namespace dial as soon as they have read the reply: on a real network the
//! SYN comes later. A SYN that comes too early is dropped, sent again a second later, and counted by
//! the filter; that counter, not a clock, is the result.

use std::io::Read as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, Negotiated};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::load::with_busy_cores;
use ftpfw_tests::report::Stats;
use ftpfw_tests::server::{Daemon, FtpServer, Options};

/// Control connections that transfer at the same time.
const SESSIONS: u32 = 4;
/// What the agent's opener gets of the transfers.
const AGENT_SHARE: u32 = 10;
const FILE: &str = "race.bin";
const PATIENCE: Duration = Duration::from_secs(30);

/// One row of the result.
struct Row {
    opener: &'static str,
    load: &'static str,
    transfers: u32,
    dropped: u64,
    /// Connection set-ups, sorted.
    dialled: Vec<Duration>,
    took: Duration,
}

/// Runs all four combinations and prints them.
///
/// # Errors
/// When a transfer fails, or the inline opener loses a single SYN.
pub fn measure(transfers: u32) -> Result<()> {
    let cores = thread::available_parallelism()?;
    println!(
        "{SESSIONS} sessions side by side, {cores} cores; dial = connect() of the data connection"
    );
    println!(
        "{:<8} {:<5} {:>9} {:>12} {:>10} {:>10} {:>10} {:>7}",
        "opener", "load", "transfers", "SYNs dropped", "dial p50", "p99", "max", "took"
    );
    let mut lost = 0;
    for (opener, load) in [
        ("inline", "idle"),
        ("inline", "busy"),
        ("agent", "idle"),
        ("agent", "busy"),
    ] {
        let count = if opener == "inline" {
            transfers
        } else {
            transfers / AGENT_SHARE
        };
        let row = run(opener, load, count)?;
        println!(
            "{:<8} {:<5} {:>9} {:>12} {:>10} {:>10} {:>10} {:>6.1}s",
            row.opener,
            row.load,
            row.transfers,
            row.dropped,
            micros(&row.dialled, 50),
            micros(&row.dialled, 99),
            micros(&row.dialled, 100),
            row.took.as_secs_f64(),
        );
        if opener == "inline" {
            lost += row.dropped;
        }
    }
    ensure!(
        lost == 0,
        "the inline opener lost {lost} data SYNs; it must lose none"
    );
    Ok(())
}

fn run(opener: &'static str, load: &'static str, transfers: u32) -> Result<Row> {
    let lab = Lab::new()?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Embedded, Family::V4))?;
    std::fs::write(server.root().join(FILE), [7; 1000]).context("make the file")?;
    let firewall = Firewall::start(&lab.server, &["--opener", opener])?;
    let before = too_early(&firewall.stats()?);
    let begin = Instant::now();
    let each = transfers / SESSIONS;
    let mut dialled = match load {
        "busy" => with_busy_cores(|| sessions(&lab, &server, each)),
        _ => sessions(&lab, &server, each),
    }?;
    let took = begin.elapsed();
    dialled.sort_unstable();
    let dropped = too_early(&firewall.stats()?) - before;
    Ok(Row {
        opener,
        load,
        transfers: each * SESSIONS,
        dropped,
        dialled,
        took,
    })
}

/// All sessions side by side.
fn sessions(lab: &Lab, server: &FtpServer, each: u32) -> Result<Vec<Duration>> {
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|_| scope.spawn(|| session(lab, server, each)))
            .collect();
        let dialled: Result<Vec<Vec<Duration>>> = sessions
            .into_iter()
            .map(|session| match session.join() {
                Ok(dialled) => dialled,
                Err(_) => bail!("a session panicked"),
            })
            .collect();
        Ok(dialled?.concat())
    })
}

/// Transfers a file over and over; how long each data connection took to be made.
fn session(lab: &Lab, server: &FtpServer, transfers: u32) -> Result<Vec<Duration>> {
    lab.client.netns.run(|| {
        let mut control = Control::login(&lab.client.netns, (server.address, server.port))?;
        (0..transfers).map(|_| transfer(&mut control)).collect()
    })?
}

fn transfer(control: &mut Control<'_>) -> Result<Duration> {
    let Negotiated::Dial(address) = control.negotiate(Mode::Epsv)? else {
        bail!("EPSV gave no port to dial");
    };
    let begin = Instant::now();
    // In this thread, which is in the client's namespace already: nothing delays the SYN.
    let mut data = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("dial {address}"))?;
    let took = begin.elapsed();
    data.set_read_timeout(Some(PATIENCE))?;
    control.expect(&format!("RETR {FILE}"), 150)?;
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes)?;
    ensure!(bytes.len() == 1000, "{} bytes came", bytes.len());
    let reply = control.reply()?;
    ensure!(reply.code == 226, "instead of 226: {reply:?}");
    Ok(took)
}

/// Data SYNs that no tuple let through.
fn too_early(stats: &Stats) -> u64 {
    ["not-armed", "no-tuple", "expired", "handshake-too-late"]
        .iter()
        .map(|reason| stats.dropped(reason))
        .sum()
}

fn micros(sorted: &[Duration], percentile: usize) -> String {
    let at = (sorted.len() * percentile / 100).min(sorted.len().saturating_sub(1));
    match sorted.get(at) {
        Some(duration) => format!("{} µs", duration.as_micros()),
        None => "-".to_owned(),
    }
}
