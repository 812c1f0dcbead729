//! `cargo xtask bench`: figures, measured side by side in one run. Never part of the tests: what a
//! shared machine measures proves nothing about right or wrong, except where a count must be 0.

mod race;

use anyhow::Result;
use clap::Subcommand;

use crate::phases::Phases;
use crate::{setup, test};

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
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
        Bench::Race { transfers } => race::measure(*transfers),
    }
}
