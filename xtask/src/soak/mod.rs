//! `cargo xtask soak`: hours of mixed load, and whether the memory of agent and maps stays flat.

mod load;
mod sample;
mod verdict;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::random::Random;
use rustix::process::Signal;

use crate::phases::Phases;
use crate::{setup, test};
use load::Load;
use sample::Sample;

/// How long between two samples.
const EVERY: Duration = Duration::from_secs(5);
/// How long an agent lives before it is killed, at most. Only in the first half: of the second one the
/// memory is judged, which a new agent would begin anew.
const AGENT_LIVES: usize = 40;

/// What to do.
#[derive(Debug, Args)]
pub struct Soak {
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// The random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the samples to this file, a JSON object each line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Sets up, builds, soaks, judges.
///
/// # Errors
/// When something cannot be built, a transfer fails, or the verdict is bad.
pub fn run(soak: &Soak) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", || {
        setup::toolchain()?;
        setup::laboratory()
    })?;
    test::build_ftpfw(&mut phases)?;
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    let load = Load::new(&lab, soak.seed)?;
    let over = AtomicBool::new(false);
    let length = Duration::from_secs(60 * soak.minutes);
    println!("{}", sample::HEADINGS);
    let (samples, kills) = thread::scope(|scope| {
        let loading = scope.spawn(|| load.pour(&over));
        let watched = watch(&mut firewall, &load, &over, length, soak.seed);
        over.store(true, Relaxed);
        loading.join().expect("no panic")?;
        watched
    })?;
    if let Some(path) = &soak.json {
        sample::write(path, &samples)?;
    }
    println!("{}; {kills} agents were killed", load.done());
    verdict::nothing_left(&firewall)?;
    // By a drop it would print a log of hours.
    firewall.stop()?;
    verdict::flat(&samples[samples.len() / 2..])
}

/// Samples, and kills agents, until the time is over; the samples, and how many were killed.
fn watch(
    firewall: &mut Firewall,
    load: &Load<'_>,
    over: &AtomicBool,
    length: Duration,
    seed: u64,
) -> Result<(Vec<Sample>, usize)> {
    let begin = Instant::now();
    let mut random = Random::new(seed);
    let (mut samples, mut kills) = (Vec::new(), 0);
    let lifetime = |random: &mut Random| Duration::from_secs(1 + random.below(AGENT_LIVES) as u64);
    let mut dies = begin + lifetime(&mut random);
    // The load ends early only by a failure.
    while begin.elapsed() < length && !over.load(Relaxed) {
        thread::sleep(EVERY);
        if begin.elapsed() < length / 2 && Instant::now() > dies {
            firewall.signal(Signal::KILL)?;
            firewall.wait()?;
            thread::sleep(Duration::from_millis(random.below(1000) as u64));
            firewall.launch(&[])?;
            firewall.wait_until_ready()?;
            dies = Instant::now() + lifetime(&mut random);
            kills += 1;
        }
        let sample = Sample::take(firewall, begin.elapsed(), load.transfers());
        let sample = sample.context("take a sample")?;
        println!("{}", sample.row());
        samples.push(sample);
    }
    Ok((samples, kills))
}
