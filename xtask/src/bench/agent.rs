//! How many control events the agent follows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::netns::Netns;

use super::contender::{Contender, Filter};
use super::crowd::Crowd;
use super::meter;
use super::report::{Bound, Report, Row, Table};
use super::statistics::Estimate;

/// Segments of a session one after the other, in each direction.
const BURST: usize = 50;
/// Events a second of the steady load.
const STEADY: f64 = 50_000.0;
const SESSIONS: u32 = 16;
/// Of one measurement.
const TIME: Duration = Duration::from_secs(1);

/// Measures a steady load, and all that this machine can say.
///
/// # Errors
/// When ftpfw cannot be started, or the dialogue fails.
pub fn measure(rounds: u32) -> Result<Report> {
    let from = Netns::new("bench-generator")?;
    let contenders = Contender::start_all(&[Filter::Ftpfw("native")], &from, &[])?;
    let firewall = contenders[0].firewall.as_ref().context("it is ftpfw")?;
    let mut crowd = Crowd::gather(&contenders[0], &from, SESSIONS)?;
    let mut report = Report::new("agent")?;
    let mut rows = Vec::new();
    for (name, limit) in [
        ("50,000 a second", STEADY),
        ("as fast as it goes", f64::INFINITY),
    ] {
        let rates = (0..rounds).map(|_| rate(firewall, &mut crowd, limit));
        let rates: Vec<Rate> = rates.collect::<Result<_>>()?;
        let estimate = |of: fn(&Rate) -> f64| {
            Estimate::of(rates.iter().map(of).collect()).context("no rounds")
        };
        for (what, value) in [
            ("events sent in a second", estimate(|it| it.sent)?),
            (
                "events followed in a second of CPU",
                estimate(|it| it.followed)?,
            ),
            ("events lost in a second", estimate(|it| it.lost)?),
        ] {
            rows.push(Row {
                name: format!("{name}: {what}"),
                value,
                ratio: None,
            });
        }
        if limit.is_finite() {
            let lost = Estimate::exactly(rates.iter().map(|it| it.lost).sum());
            report.goal("events lost at 50,000 a second", Bound::AtMost(0.0), lost);
        } else {
            let followed = estimate(|it| it.followed)?;
            let what = "events followed in a second of CPU";
            report.goal(what, Bound::AtLeast(200_000.0), followed);
        }
    }
    report.table(Table {
        title: "events of the agent: one for each segment".to_owned(),
        unit: "a second",
        against: None,
        rows,
    });
    Ok(report)
}

/// Events of one measurement.
struct Rate {
    /// In a second.
    sent: f64,
    lost: f64,
    /// In a second of CPU time of the agent.
    followed: f64,
}

fn rate(firewall: &Firewall, crowd: &mut Crowd, limit: f64) -> Result<Rate> {
    let lost = firewall.stats()?.events_lost;
    let (cpu, begin) = (meter::cpu_time(firewall)?, Instant::now());
    let mut sent = 0;
    while begin.elapsed() < TIME {
        crowd.talk(BURST)?;
        sent += 2 * BURST;
        let due = Duration::from_secs_f64(sent as f64 / limit);
        thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let took = begin.elapsed().as_secs_f64();
    // It follows what is left in the ring buffer.
    thread::sleep(Duration::from_millis(100));
    let cpu = meter::cpu_time(firewall)? - cpu;
    let lost = (firewall.stats()?.events_lost - lost) as f64;
    Ok(Rate {
        sent: sent as f64 / took,
        lost: lost / took,
        followed: (sent as f64 - lost) / cpu,
    })
}
