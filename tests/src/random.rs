//! Random input that a seed brings back: how much of it and from which seed is for the environment.

use std::env;
use std::num::NonZero;

use anyhow::{Context as _, Result};

/// How many random inputs a test shall try: `FTPFW_RANDOM`.
///
/// # Errors
/// When that is no number.
pub fn count(default: u64) -> Result<u64> {
    number("FTPFW_RANDOM", default)
}

/// The seed of the first one, which the others' follow: `FTPFW_SEED`.
///
/// # Errors
/// When that is no number.
pub fn seed(default: u64) -> Result<u64> {
    number("FTPFW_SEED", default)
}

/// Of how many fields of a sample one is tried: `FTPFW_SPARSE`, 1 without it.
///
/// # Errors
/// When that is no number.
pub fn sparse() -> Result<NonZero<usize>> {
    let number = usize::try_from(number("FTPFW_SPARSE", 1)?)?;
    NonZero::new(number).context("FTPFW_SPARSE=0: one field in none")
}

/// One in `FTPFW_SPARSE` of them, at least one of any; of each `place` in a row of such lists another.
///
/// # Errors
/// As [`sparse`].
pub fn sample<T>(all: Vec<T>, place: usize) -> Result<Vec<T>> {
    let sparse = sparse()?.get();
    let first = place % sparse.min(all.len()).max(1);
    Ok(all.into_iter().skip(first).step_by(sparse).collect())
}

fn number(variable: &str, default: u64) -> Result<u64> {
    match env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text}")),
        Err(_) => Ok(default),
    }
}

/// SplitMix64: any seed is a good one, so consecutive ones are.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.number() as u8
    }
}
