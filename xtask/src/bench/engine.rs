//! What the followers need for a control segment, by the kernel's own measure of how long programs run.

use anyhow::{Context as _, Result};
use ftpfw_tests::netns::Netns;

use super::contender::{Contender, Filter};
use super::ftp::{self, Client};
use super::meter::Meter;
use super::report::{Better, Bound, Report, Table};
use super::rounds::Samples;

/// Exchanges at a time.
const BATCH: u32 = 100;
/// What a reply that arms may cost more than one that does not, ns.
const ADDED: f64 = 1000.0;

/// Measures a command and its reply, with and without a negotiation.
///
/// # Errors
/// When ftpfw cannot be started, or the dialogue fails.
pub fn measure(rounds: u32) -> Result<Report> {
    let from = Netns::new("bench-generator")?;
    let contenders = Contender::start_all(&[Filter::Ftpfw("native")], &from, &[])?;
    let host = &contenders[0].host;
    ftp::serve(host)?;
    let firewall = contenders[0].firewall.as_ref().context("it is ftpfw")?;
    let meter = Meter::new(firewall)?;
    let exchanges = [("NOOP", "200"), ("EPSV", "229")];
    let samples = from.run(|| {
        let mut client = Client::login(host.v4)?;
        Samples::take(exchanges.len(), rounds, |at| {
            let (command, code) = exchanges[at];
            let mut talk = || (0..BATCH).try_for_each(|_| client.say(command, code).map(drop));
            Ok(meter.followers(&mut talk)? / f64::from(BATCH))
        })
    })??;
    let mut report = Report::new("engine")?;
    let names = ["NOOP and 200", "EPSV and 229"];
    let title = "commands and replies, for an exchange";
    report.table(Table::new(
        title,
        ("ns", Better::Lower),
        &names,
        &samples,
        0,
    )?);
    report.goal(
        "what a 229 adds, ns",
        Bound::AtMost(ADDED),
        samples.difference(1, 0)?,
    );
    Ok(report)
}
