//! What many tuples and many sessions cost.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, Result};
use ftpfw_common::abi::maps;
use ftpfw_tests::armed;
use ftpfw_tests::descriptors;
use ftpfw_tests::generator::{Generator, Load};
use ftpfw_tests::netns::Netns;

use super::contender::{Contender, Filter};
use super::crowd::Crowd;
use super::hold::{self, silence};
use super::meter::{self, Meter};
use super::report::{Better, Bound, Report, Table};
use super::rounds::Samples;
use super::statistics::Estimate;

const OURS: Filter = Filter::Ftpfw("native");
/// Room for what is measured.
const LIMITS: &str =
    "[limits]\nsessions = 110000\nsessions_per_client = 110000\ntuples = 1048576\n";

/// Ports with tuples, and clients on each: a million at most.
const ARMED: RangeInclusive<u16> = 40_000..=40_999;
const TUPLES: [(RangeInclusive<u16>, u32); 3] = [(40_000..=40_000, 1), (ARMED, 60), (ARMED, 1000)];
const FRAMES: u32 = 20_000;

const SESSIONS: u32 = 100_000;
/// Exchanges at a time.
const BATCH: u32 = 100;

/// Measures both; `directory` is for a file.
///
/// # Errors
/// When ftpfw cannot be started, or has no room.
pub fn measure(rounds: u32, directory: &Path) -> Result<Report> {
    let path = directory.join("scale.toml");
    fs::write(&path, LIMITS).with_context(|| format!("write {}", path.display()))?;
    let path = path.to_str().context("the path is text")?;
    let mut report = Report::new("scale")?;
    tuples(&mut report, rounds, &["--config", path])?;
    sessions(&mut report, rounds, &["--config", path])?;
    Ok(report)
}

/// A title, what is sent to the contender of that number, and how many times its cost may grow.
type Flood<'a> = (&'a str, &'a dyn Fn(usize) -> Load, f64);

fn tuples(report: &mut Report, rounds: u32, options: &[&str]) -> Result<()> {
    let from = Netns::new("bench-generator")?;
    let contenders = Contender::start_all(&[OURS; TUPLES.len()], &from, options)?;
    for (contender, (ports, clients)) in contenders.iter().zip(&TUPLES) {
        // Whoever gets in goes no further.
        contender.drop_behind()?;
        let pins = &firewall(contender)?.place().pins;
        armed::for_others(pins, contender.host.v4, ports.clone(), *clients)?;
    }
    let mut generator = Generator::load()?;
    let names = TUPLES.map(|(ports, clients)| match ports.len() as u32 * clients {
        1 => "1 tuple".to_owned(),
        count => format!("{count} tuples"),
    });
    let ports = |at: usize| TUPLES[at].0.clone();
    let syn = |ports| Load::flood(Some("S"), ports);
    let floods: [Flood<'_>; 3] = [
        ("SYN to ports without a tuple", &|_| syn(1024..=39_999), 1.1),
        (
            "SYN to ports with tuples, of a stranger",
            &|at| syn(ports(at)),
            3.0,
        ),
        (
            "SYN of a tuple, let in and dropped by nft raw",
            &|at| Load {
                first_sender: Ipv4Addr::new(172, 16, 0, 0),
                senders: TUPLES[at].1,
                ..syn(ports(at))
            },
            3.0,
        ),
    ];
    let last = TUPLES.len() - 1;
    for (title, load, most) in floods {
        let samples = Samples::take(contenders.len(), rounds, |at| {
            let to = &contenders[at];
            let took = generator.send(&from, to.interface, to.host.v4, &load(at), FRAMES)?;
            Ok(took.as_secs_f64() * 1e9)
        })?;
        let unit = ("ns for a packet", Better::Lower);
        report.table(Table::new(title, unit, &names, &samples, 0)?);
        let what = format!("{title}: a million tuples against one");
        report.goal(what, Bound::AtMost(most), samples.ratio(last, 0)?);
    }
    let bytes = meter::map_bytes(firewall(&contenders[last])?, maps::ARMED)?;
    report.goal(
        "bytes for a tuple",
        Bound::AtMost(128.0),
        Estimate::exactly(bytes),
    );
    Ok(())
}

fn sessions(report: &mut Report, rounds: u32, options: &[&str]) -> Result<()> {
    descriptors::allow(2 * hold::BATCH)?;
    let from = Netns::new("bench-generator")?;
    silence(&from)?;
    let counts = [1, SESSIONS];
    let contenders = Contender::start_all(&[OURS; 2], &from, options)?;
    let crowds = contenders.iter().zip(counts);
    let mut crowds: Vec<_> = crowds
        .map(|(contender, count)| Crowd::gather(contender, &from, count))
        .collect::<Result<_>>()?;
    let meters = contenders.iter().map(|it| Meter::new(firewall(it)?));
    let meters: Vec<_> = meters.collect::<Result<_>>()?;
    let samples = Samples::take(counts.len(), rounds, |at| {
        let mut talk = || (0..BATCH).try_for_each(|_| crowds[at].talk(1));
        Ok(meters[at].followers(&mut talk)? / f64::from(BATCH))
    })?;
    let names = ["1 session", "100000 sessions"];
    let title = "a command and its reply, in commands and replies";
    report.table(Table::new(
        title,
        ("ns", Better::Lower),
        &names,
        &samples,
        0,
    )?);
    let what = format!("{title}: {SESSIONS} sessions against one");
    report.goal(what, Bound::AtMost(2.0), samples.ratio(1, 0)?);
    let full = firewall(&contenders[1])?;
    let bytes = meter::map_bytes(full, maps::SESSIONS)?;
    report.goal(
        "bytes for a session",
        Bound::AtMost(512.0),
        Estimate::exactly(bytes),
    );
    let resident = meter::resident(full)? / 1e6;
    let what = format!("MB of the agent at {SESSIONS} sessions");
    report.goal(what, Bound::AtMost(200.0), Estimate::exactly(resident));
    Ok(())
}

fn firewall(contender: &Contender) -> Result<&ftpfw_tests::firewall::Firewall> {
    contender.firewall.as_ref().context("it is ftpfw")
}
