//! How long a client waits: for a connection with its banner, and for a data connection.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result};
use ftpfw_tests::netns::Netns;

use super::contender::{Contender, Filter, LETTING_IN};
use super::ftp::{self, Client};
use super::report::{Better, Bound, Report, Table};
use super::rounds::Samples;

/// Connections to one contender at a time.
const BATCH: usize = 40;

/// Measures both.
///
/// # Errors
/// When a contender cannot be started, or a connection not be made.
pub fn measure(rounds: u32) -> Result<Report> {
    let from = Netns::new("bench-generator")?;
    // Ports in TIME_WAIT may be had again.
    from.sysctl("ipv4/tcp_tw_reuse", "1")?;
    let contenders = Contender::start_all(&LETTING_IN, &from, &[])?;
    for contender in &contenders {
        ftp::serve(&contender.host)?;
    }
    let mut report = Report::new("setup")?;
    from.run(|| measure_from_inside(&mut report, &contenders, rounds))??;
    Ok(report)
}

fn measure_from_inside(report: &mut Report, contenders: &[Contender], rounds: u32) -> Result<()> {
    let names = LETTING_IN.map(Filter::name);
    let unit = ("µs", Better::Lower);
    let [none, native, again, tc] = [0, 1, 2, 3];
    let samples = Samples::take(contenders.len(), rounds, |at| {
        batch(50, || control(contenders[at].host.v4))
    })?;
    let title = "connect, banner, close: p50";
    report.table(Table::new(title, unit, &names, &samples, none)?);
    for (at, least) in [(native, 0.92), (tc, 0.96)] {
        let what = format!("{title}: {} against no firewall", names[at]);
        report.goal(what, Bound::AtLeast(least), samples.ratio(none, at)?);
    }
    for percentile in [50, 99] {
        let mut clients = contenders
            .iter()
            .map(|contender| Client::login(contender.host.v4))
            .collect::<Result<Vec<_>>>()?;
        let samples = Samples::take(contenders.len(), rounds, |at| {
            let server = contenders[at].host.v4;
            batch(percentile, || data(&mut clients[at], server)).with_context(|| names[at])
        })?;
        let title = format!("reply to EPSV, then data connection: p{percentile} of {BATCH}");
        report.table(Table::new(title.as_str(), unit, &names, &samples, none)?);
        let least = samples.same(none, again)?;
        for at in [native, tc] {
            let what = format!("{title}: {} against no firewall", names[at]);
            report.goal(what, Bound::AtLeast(least), samples.ratio(none, at)?);
        }
    }
    Ok(())
}

/// µs.
fn batch(percentile: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let times: Result<Vec<f64>> = (0..BATCH).map(|_| measure()).collect();
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    Ok(times[(times.len() * percentile / 100).min(times.len() - 1)])
}

fn control(server: Ipv4Addr) -> Result<f64> {
    let begin = Instant::now();
    drop(Client::connect(server)?);
    Ok(begin.elapsed().as_secs_f64() * 1e6)
}

fn data(client: &mut Client, server: Ipv4Addr) -> Result<f64> {
    let port = client.passive()?;
    let begin = Instant::now();
    let data = TcpStream::connect((server, port)).context("the data connection")?;
    let took = begin.elapsed();
    drop(data);
    Ok(took.as_secs_f64() * 1e6)
}
