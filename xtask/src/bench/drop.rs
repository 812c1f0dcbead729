//! What it costs to drop a packet, each firewall against the limit and against its peers.
//!
//! Frames of 60 bytes from a generator in the next namespace; sender, cable and filter share one CPU,
//! so that the time for a packet is all that is done for it. Rounds take all contenders in one order
//! and then in the reverse one; a ratio is of two that stood in the same round.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::armed;
use ftpfw_tests::generator::{Generator, Load};
use ftpfw_tests::netns::Netns;
use serde::Serialize;

use super::contender::{Contender, Filter};
use super::statistics::Estimate;

/// Frames sent to one contender at a time: some ms of work.
const FRAMES: u32 = 50_000;
/// Of the frames that were sent, so many must have arrived: a cable whose other end does not keep up
/// loses some, and their cost would be missing.
const ARRIVED: f64 = 0.99;

/// Ports that have tuples, and for how many clients each: 60,000 tuples.
const ARMED: RangeInclusive<u16> = 40_000..=40_999;
const CLIENTS: u32 = 60;

/// A kind of flood.
struct Flood {
    name: &'static str,
    load: Load,
    goals: &'static [(Filter, f64)],
}

fn floods() -> [Flood; 4] {
    let flood = |name, flags, ports, goals| Flood {
        name,
        load: Load { flags, ports },
        goals,
    };
    const SCAN: &[(Filter, f64)] = &[
        (Filter::Bare, 0.92),
        (Filter::NftConntrack, 10.0),
        (Filter::NftRaw, 4.0),
        (Filter::XdpTools, 2.5),
    ];
    const TARGETED: &[(Filter, f64)] = &[(Filter::Bare, 0.4), (Filter::NftConntrack, 4.0)];
    const OTHERS: &[(Filter, f64)] = &[(Filter::Bare, 0.5), (Filter::NftConntrack, 5.0)];
    [
        flood("SYN scan", Some("S"), 1024..=65535, SCAN),
        flood("SYN flood at armed ports", Some("S"), ARMED, TARGETED),
        flood("ACK flood", Some("A"), 1024..=65535, OTHERS),
        flood("UDP flood", None, 1024..=65535, OTHERS),
    ]
}

/// Cost of one firewall under one flood.
#[derive(Debug, Serialize)]
struct Row {
    flood: &'static str,
    filter: &'static str,
    /// ns for a packet, generator and cable included.
    ns: Estimate,
    /// Speed of bare XDP_DROP = 1.
    speed: Estimate,
}

/// How much faster ftpfw in native mode is than a peer, and than it should be.
#[derive(Debug, Serialize)]
struct Goal {
    flood: &'static str,
    against: &'static str,
    goal: f64,
    ratio: Estimate,
    met: bool,
}

#[derive(Debug, Serialize)]
pub struct Report {
    frames: u32,
    rounds: u32,
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

/// Measures all floods.
///
/// # Errors
/// When a contender cannot be started, or does not get or drop what it is sent.
pub fn measure(rounds: u32) -> Result<Report> {
    let filters = [
        Filter::Bare,
        Filter::Ftpfw("native"),
        Filter::BareAgain,
        Filter::Ftpfw("tc"),
        Filter::Ftpfw("generic"),
        Filter::NftRaw,
        Filter::NftConntrack,
        Filter::XdpTools,
    ];
    let from = Netns::new("bench-generator")?;
    let mut generator = Generator::load()?;
    let contenders: Vec<Contender> = filters
        .into_iter()
        .zip(0_u8..)
        .map(|(filter, number)| {
            let contender = Contender::start(filter, &from, number);
            contender.with_context(|| filter.name())
        })
        .collect::<Result<_>>()?;
    for contender in &contenders {
        if let Some(firewall) = &contender.firewall {
            let pins = &firewall.place().pins;
            armed::for_others(pins, contender.host.v4, ARMED, CLIENTS)?;
        }
    }
    let mut report = Report {
        frames: FRAMES,
        rounds,
        rows: Vec::new(),
        goals: Vec::new(),
    };
    for flood in floods() {
        println!("── {}", flood.name);
        one(&mut report, &flood, &from, &mut generator, &contenders)?;
    }
    Ok(report)
}

fn one(
    report: &mut Report,
    flood: &Flood,
    from: &Netns,
    generator: &mut Generator,
    contenders: &[Contender],
) -> Result<()> {
    // Warms everything up, and shows that what is measured is drops.
    for contender in contenders {
        arrives(flood, from, generator, contender).with_context(|| contender.filter.name())?;
    }
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..report.rounds {
        let mut sums = vec![Duration::ZERO; contenders.len()];
        let forth = 0..contenders.len();
        for at in forth.clone().chain(forth.rev()) {
            let to = &contenders[at];
            sums[at] += generator.send(from, to.interface, to.host.v4, &flood.load, FRAMES)?;
        }
        for (costs, sum) in costs.iter_mut().zip(sums) {
            costs.push(sum.as_secs_f64() * 1e9 / 2.0);
        }
    }
    let find = |filter| contenders.iter().position(|it| it.filter == filter);
    let bare = find(Filter::Bare).context("the limit is always there")?;
    let ours = find(Filter::Ftpfw("native")).context("so is ftpfw")?;
    let ratio = |above: usize, below: usize| {
        let pairs = costs[above].iter().zip(&costs[below]);
        Estimate::of(pairs.map(|(above, below)| above / below).collect()).context("no rounds")
    };
    for (at, contender) in contenders.iter().enumerate() {
        let row = Row {
            flood: flood.name,
            filter: contender.filter.name(),
            ns: Estimate::of(costs[at].clone()).context("no rounds")?,
            speed: ratio(bare, at)?,
        };
        println!(
            "{:<22} {:>7.0} ns  {}",
            row.filter, row.ns.median, row.speed
        );
        report.rows.push(row);
    }
    for &(filter, goal) in flood.goals {
        let peer = find(filter).context("a goal is against a contender")?;
        let ratio = ratio(peer, ours)?;
        let met = ratio.median >= goal;
        let word = if met { "met" } else { "NOT MET" };
        println!(
            "  ftpfw against {:<20} {ratio}, goal {goal}: {word}",
            filter.name()
        );
        report.goals.push(Goal {
            flood: flood.name,
            against: filter.name(),
            goal,
            ratio,
            met,
        });
    }
    Ok(())
}

/// Insists that what is sent arrives and is dropped, where the contender can tell.
fn arrives(flood: &Flood, from: &Netns, generator: &mut Generator, to: &Contender) -> Result<()> {
    let before = to.drops()?;
    generator.send(from, to.interface, to.host.v4, &flood.load, FRAMES)?;
    if let (Some(before), Some(after)) = (before, to.drops()?) {
        let arrived = (after - before) as f64 / f64::from(FRAMES);
        ensure!(
            arrived >= ARRIVED,
            "of {FRAMES} frames {arrived:.3} arrived and were dropped"
        );
    }
    Ok(())
}
