//! `cargo xtask bench`: figures, measured side by side in one run. Never part of the tests: what a
//! shared machine measures proves nothing about right or wrong, except where a count must be 0.

mod contender;
mod drop;
mod race;
mod statistics;

use std::fs;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde::Serialize;

use crate::phases::Phases;
use crate::{setup, test, workspace};

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// The cost of a packet that is dropped, against nftables, xdp-filter and the bare limit
    Drop {
        /// Rounds; each takes about half a second
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Data SYNs that come before their tuple, by opener, with the cores idle and busy
    Race {
        /// Passive transfers with the inline opener; the agent's gets a tenth, for each loss costs 1 s
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(40..))]
        transfers: u32,
    },
}

/// Sets up, builds, measures.
///
/// # Errors
/// When something cannot be built or started, or when a count that must be 0 is not.
pub fn run(bench: &Bench) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", || {
        setup::toolchain()?;
        setup::laboratory()
    })?;
    test::build_ftpfw(&mut phases)?;
    test::build_embedded_server(&mut phases)?;
    match bench {
        Bench::Drop { rounds } => {
            phases.step("set up the peers", setup::peers)?;
            write("drop", &drop::measure(*rounds)?)
        }
        Bench::Race { transfers } => race::measure(*transfers),
    }
}

/// Writes a report to `target/bench/NAME.json`.
fn write(name: &str, report: &impl Serialize) -> Result<()> {
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let path = directory.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_vec_pretty(report)?)
        .with_context(|| format!("write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
