//! What it costs to drop a packet, each firewall against the limit and against its peers.
//!
//! Frames of 60 bytes from a generator in the next namespace; sender, cable and filter share one CPU,
//! so that the time for a packet is all that is done for it.

use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::armed;
use ftpfw_tests::generator::{Generator, Load};
use ftpfw_tests::netns::Netns;

use super::contender::{Contender, Filter};
use super::report::{Better, Bound, Report, Table};
use super::rounds::Samples;

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
        load: Load::flood(flags, ports),
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

/// Measures all floods.
///
/// # Errors
/// When a contender cannot be started, or does not get or drop what it is sent.
pub fn measure(rounds: u32) -> Result<Report> {
    let filters = [
        Filter::Bare,
        Filter::Ftpfw("native"),
        Filter::BareAgain,
        Filter::BareLookUp,
        Filter::Ftpfw("tc"),
        Filter::Ftpfw("generic"),
        Filter::NftRaw,
        Filter::NftConntrack,
        Filter::XdpTools,
    ];
    let from = Netns::new("bench-generator")?;
    let mut generator = Generator::load()?;
    let contenders = Contender::start_all(&filters, &from, &[])?;
    for contender in &contenders {
        if let Some(firewall) = &contender.firewall {
            let pins = &firewall.place().pins;
            armed::for_others(pins, contender.host.v4, ARMED, CLIENTS)?;
        }
    }
    let mut report = Report::new("drop")?;
    for flood in floods() {
        // Warms everything up, and shows that what is measured is drops.
        for contender in &contenders {
            arrives(&flood, &from, &mut generator, contender)
                .with_context(|| contender.filter.name())?;
        }
        let samples = Samples::take(contenders.len(), rounds, |at| {
            let to = &contenders[at];
            let took = generator.send(&from, to.interface, to.host.v4, &flood.load, FRAMES)?;
            Ok(took.as_secs_f64() * 1e9)
        })?;
        tell(&mut report, &flood, &filters, &samples)?;
    }
    Ok(report)
}

fn tell(report: &mut Report, flood: &Flood, filters: &[Filter], samples: &Samples) -> Result<()> {
    let names: Vec<_> = filters.iter().map(|filter| filter.name()).collect();
    let find = |filter| filters.iter().position(|it| *it == filter);
    let bare = find(Filter::Bare).context("the limit is always there")?;
    let ours = find(Filter::Ftpfw("native")).context("so is ftpfw")?;
    let unit = ("ns for a packet", Better::Lower);
    report.table(Table::new(flood.name, unit, &names, samples, bare)?);
    for &(filter, goal) in flood.goals {
        let peer = find(filter).context("a goal is against a contender")?;
        let what = format!("{}: ftpfw, native against {}", flood.name, filter.name());
        report.goal(what, Bound::AtLeast(goal), samples.ratio(peer, ours)?);
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
