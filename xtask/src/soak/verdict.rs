//! Is it flat?

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::maps;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::wait;

use super::sample::Sample;

/// What the agent's memory may grow in the second half, of what it is, by the straight line through
/// the samples.
const GROWTH: f64 = 0.05;
/// Descriptors come with questions and go with answers.
const DESCRIPTORS: usize = 8;

/// With the load, what it left in the maps must go.
///
/// # Errors
/// When it stays.
pub fn nothing_left(firewall: &Firewall) -> Result<()> {
    let mut left = Vec::new();
    let gone = wait::until("the maps to be empty", || {
        let sample = Sample::take(firewall, Default::default(), 0)?;
        left = [
            maps::SESSIONS,
            maps::ARMED,
            maps::CLAIMED,
            maps::OPAQUE,
            maps::ENTITLED,
        ]
        .into_iter()
        .map(|name| (name, sample.entries[name]))
        .filter(|(_, entries)| *entries > 0)
        .collect();
        Ok(left.is_empty().then_some(()))
    });
    gone.with_context(|| format!("{left:?}"))?;
    println!("nothing is left in the maps of sessions and tuples");
    Ok(())
}

/// Judges samples of one agent.
///
/// # Errors
/// When there are too few, or something grows.
pub fn flat(samples: &[Sample]) -> Result<()> {
    ensure!(samples.len() > 2, "{} samples are too few", samples.len());
    let mean = samples.iter().map(|it| it.resident as f64).sum::<f64>() / samples.len() as f64;
    let slope = slope(samples);
    let length = samples[samples.len() - 1].seconds - samples[0].seconds;
    let growth = slope * length / mean;
    println!(
        "second half, {length:.0} s: resident memory {mean:.0} KiB, slope {:+.1} KiB a minute, {:+.2} % in all (at most {:.0} %)",
        slope * 60.0,
        growth * 100.0,
        GROWTH * 100.0
    );
    let range = |of: &dyn Fn(&Sample) -> u64| {
        let (least, most) = (samples.iter().map(of).min(), samples.iter().map(of).max());
        (least.unwrap_or(0), most.unwrap_or(0))
    };
    let maps = range(&|it| it.map_memory);
    let descriptors = range(&|it| it.descriptors as u64);
    println!(
        "maps {} to {} KiB, descriptors {} to {}",
        maps.0, maps.1, descriptors.0, descriptors.1
    );
    ensure!(growth <= GROWTH, "the agent's memory grows");
    ensure!(maps.0 == maps.1, "the maps' memory changes");
    ensure!(
        descriptors.1 - descriptors.0 <= DESCRIPTORS as u64,
        "descriptors are not closed"
    );
    println!("flat");
    Ok(())
}

/// Of the straight line with the least squares through the resident memory, KiB a second.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time, memory) = (mean(&|it| it.seconds), mean(&|it| it.resident as f64));
    let (mut both, mut square) = (0.0, 0.0);
    for sample in samples {
        let distance = sample.seconds - time;
        both += distance * (sample.resident as f64 - memory);
        square += distance * distance;
    }
    both / square
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..60)
            .map(|number| Sample {
                seconds: number as f64 * 5.0,
                resident: resident(number),
                descriptors: 30,
                map_memory: 1000,
                entries: Default::default(),
                transfers: 0,
                events_lost: 0,
            })
            .collect()
    }

    #[test]
    fn noise_is_flat_and_a_leak_is_not() {
        assert!(flat(&samples(|number| 20_000 + number % 7 * 100)).is_ok());
        assert!(flat(&samples(|number| 20_000 + number * 20)).is_err());
        assert!((slope(&samples(|number| 20_000 + number * 20)) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn maps_and_descriptors_count_too() {
        let mut leaking = samples(|_| 20_000);
        leaking[50].map_memory += 1;
        assert!(flat(&leaking).is_err());
        let mut leaking = samples(|_| 20_000);
        leaking[59].descriptors += 9;
        assert!(flat(&leaking).is_err());
    }
}
