//! `cargo xtask bench`: figures, measured side by side in one run. Never part of the tests: what a
//! shared machine measures proves nothing about right or wrong, except where a count must be 0.

mod agent;
mod contender;
mod crowd;
mod drop;
mod engine;
mod ftp;
mod hold;
mod meter;
mod pass;
mod plot;
mod race;
mod report;
mod rounds;
mod scale;
mod setup;
mod statistics;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};

use self::report::Report;
use crate::phases::Phases;
use crate::{setup as machine, test, workspace};

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

/// What is measured.
#[derive(Debug, Subcommand)]
enum What {
    /// The cost of a packet that is dropped, against nftables, xdp-filter and the bare limit
    Drop(Measurement),
    /// The cost of a packet of an established data connection, and bulk over one
    Pass(Measurement),
    /// How long a client waits for the banner, and for a data connection
    Setup(Measurement),
    /// The cost of a control segment, with and without a negotiation
    Engine(Measurement),
    /// From one to a million tuples, from one to 100,000 sessions
    Scale(Measurement),
    /// Control events that the agent follows
    Agent(Measurement),
    /// Data SYNs that come before their tuple, by opener, with the cores idle and busy
    Race {
        /// Passive transfers with the inline opener; the agent's gets a tenth, for each loss costs 1 s
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(40..))]
        transfers: u32,
    },
}

/// How long, and what becomes of the report.
#[derive(Debug, Args)]
struct Measurement {
    /// Rounds over all contenders; below 20, the intervals are too narrow
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where to write what was found [default: target/bench/WHAT.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print it as Markdown too
    #[arg(long)]
    markdown: bool,
    /// Draw each table into this directory, as WHAT-N.svg
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

/// Sets up, builds, measures.
///
/// # Errors
/// When something cannot be built or started, or when a count that must be 0 is not.
pub fn run(bench: &Bench) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", || {
        machine::toolchain()?;
        machine::laboratory()
    })?;
    // A program that is named is measured as it is.
    if env::var_os("FTPFW_BIN").is_none() {
        test::build_ftpfw(&mut phases)?;
    }
    if let What::Race { transfers } = bench.what {
        test::build_embedded_server(&mut phases)?;
        return race::measure(transfers);
    }
    phases.step("set up the peers", machine::peers)?;
    report(&bench.what)
}

/// All but the race, which is judged by a count and has no report.
fn report(what: &What) -> Result<()> {
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let (how, report) = match what {
        What::Race { .. } => return Ok(()),
        What::Drop(how) => (how, drop::measure(how.rounds)?),
        What::Pass(how) => (how, pass::measure(how.rounds)?),
        What::Setup(how) => (how, setup::measure(how.rounds)?),
        What::Engine(how) => (how, engine::measure(how.rounds)?),
        What::Scale(how) => (how, scale::measure(how.rounds, &directory)?),
        What::Agent(how) => (how, agent::measure(how.rounds)?),
    };
    show(how, &report, &directory)
}

fn show(how: &Measurement, report: &Report, directory: &Path) -> Result<()> {
    let json = directory.join(format!("{}.json", report.name));
    report.write_json(how.json.as_deref().unwrap_or(&json))?;
    if how.markdown {
        println!("{}", report.markdown()?);
    }
    let Some(directory) = &how.plot else {
        return Ok(());
    };
    fs::create_dir_all(directory)?;
    for (table, number) in report.tables.iter().zip(1..) {
        let path = directory.join(format!("{}-{number}.svg", report.name));
        plot::bars(table, &path)?;
        println!("drawn: {}", path.display());
    }
    Ok(())
}
