//! `ftpfw stats`, once or again and again.

use std::{io::Write as _, time::Duration};

use anyhow::bail;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    journal::rfc3339,
    model::Stats,
    open,
    output::{self, Output, nobody_reads},
    read, show, table,
    units::count,
};
use crate::{
    cli::StatsArgs,
    kernel::{Maps, PinDir},
};

/// Home, and clear what is below (ECMA-48 CUP and ED).
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

/// `ftpfw stats`.
///
/// # Errors
///
/// When nothing is attached (any more), may not be looked at, or the interface is not protected.
pub async fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let (maps, pins) = open(&args.query.place)?;
    let Some(seconds) = args.watch else {
        let stats = read::stats(&maps, &pins, args.interface.as_deref())?;
        return show(&stats, args.query.json, |stats| table::stats(stats, None));
    };
    let period = Duration::from_secs(seconds.into());
    tokio::select! {
        result = watch(args, &maps, &pins, period) => result,
        () = nobody_reads() => Ok(()),
    }
}

/// What was counted at one moment.
#[derive(Debug, Serialize)]
struct Look {
    #[serde(with = "rfc3339")]
    time: Timestamp,
    totals: Stats,
    /// Since the look before; `None` for the first.
    per_second: Option<Stats>,
}

async fn watch(
    args: &StatsArgs,
    maps: &Maps,
    pins: &PinDir,
    period: Duration,
) -> anyhow::Result<()> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Stats)> = None;
    loop {
        ticks.tick().await;
        // Not when it was due.
        let now = Instant::now();
        if !pins.in_use() {
            bail!("ftpfw was detached from {}", pins.path().display());
        }
        let totals = read::stats(maps, pins, args.interface.as_deref())?;
        let look = Look {
            time: Timestamp::now(),
            per_second: before.map(|(at, before)| {
                let elapsed = now.duration_since(at).as_millis();
                totals.rates(&before, u64::try_from(elapsed).unwrap_or(u64::MAX))
            }),
            totals,
        };
        let mut left = true;
        Output::write(|output| {
            writeln!(output, "{}", look.text(args)?)?;
            output.flush()?;
            left = false;
            Ok(())
        })?;
        if left {
            return Ok(());
        }
        before = Some((now, look.totals));
    }
}

impl Look {
    fn text(&self, args: &StatsArgs) -> anyhow::Result<String> {
        if args.query.json {
            return Ok(serde_json::to_string(self)?);
        }
        if output::is_terminal() {
            let table = table::stats(&self.totals, self.per_second.as_ref());
            return Ok(format!("{REDRAW}{}\n\n{table}", self.clock()));
        }
        Ok(self.line())
    }

    fn clock(&self) -> String {
        self.time
            .to_zoned(TimeZone::system())
            .strftime("%F %T")
            .to_string()
    }

    /// All on one line: what was appended to a file or a log is read, or searched, line by line.
    fn line(&self) -> String {
        let mut line = self.clock();
        for (index, (group, counters)) in self.totals.groups().into_iter().enumerate() {
            let total: u64 = counters.values().sum();
            line += &format!("  {group} {}", count(total));
            if let Some(rates) = &self.per_second {
                let rate: u64 = rates.groups()[index].1.values().sum();
                line += &format!(" ({}/s)", count(rate));
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_line_has_totals_and_rates() {
        let of = |drops| Stats {
            interfaces: Vec::new(),
            pass: BTreeMap::from([("socket", 1000), ("flow", 234)]),
            drop: BTreeMap::from([("not-armed", drops)]),
            would_drop: BTreeMap::new(),
            negotiations: BTreeMap::new(),
            refused: BTreeMap::new(),
            events_lost: 0,
            losses: BTreeMap::new(),
        };
        let look = Look {
            time: Timestamp::now(),
            per_second: Some(of(30).rates(&of(10), 2000)),
            totals: of(30),
        };
        let line = look.line();
        assert!(
            line.contains("  passed 1,234 (0/s)  dropped 30 (10/s)  would drop 0"),
            "{line}"
        );
        assert!(!line.contains('\n'));
    }
}
