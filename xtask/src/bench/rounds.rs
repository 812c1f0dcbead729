//! Measuring side by side: rounds take all contenders in one order and then in the reverse one, so that
//! what changes slowly on the machine is the same for all; a ratio is of two that stood in one round.

use anyhow::{Context as _, Result};

use super::statistics::Estimate;

/// What was measured, by contender and round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Vec<f64>>);

impl Samples {
    /// Rounds over `count` contenders, each measured twice a round; the mean of both counts.
    ///
    /// # Errors
    /// Those of `measure`, which is given the contender's number.
    pub fn take(
        count: usize,
        rounds: u32,
        mut measure: impl FnMut(usize) -> Result<f64>,
    ) -> Result<Self> {
        let mut samples = vec![Vec::new(); count];
        for _ in 0..rounds {
            let mut sums = vec![0.0; count];
            for at in (0..count).chain((0..count).rev()) {
                sums[at] += measure(at)?;
            }
            for (samples, sum) in samples.iter_mut().zip(sums) {
                samples.push(sum / 2.0);
            }
        }
        Ok(Self(samples))
    }

    /// Of one contender.
    ///
    /// # Errors
    /// When there were no rounds.
    pub fn of(&self, contender: usize) -> Result<Estimate> {
        Estimate::of(self.0[contender].clone()).context("no rounds")
    }

    /// Of one contender divided by another one's.
    ///
    /// # Errors
    /// When there were no rounds.
    pub fn ratio(&self, above: usize, below: usize) -> Result<Estimate> {
        self.pairs(above, below, |above, below| above / below)
    }

    /// Of one contender less another one's.
    ///
    /// # Errors
    /// When there were no rounds.
    pub fn difference(&self, of: usize, less: usize) -> Result<Estimate> {
        self.pairs(of, less, |of, less| of - less)
    }

    /// The least ratio of two that may be the same: these two are, and one is measured to be that much worse
    /// than the other.
    ///
    /// # Errors
    /// When there were no rounds.
    pub fn same(&self, one: usize, other: usize) -> Result<f64> {
        let (there, back) = (self.ratio(one, other)?, self.ratio(other, one)?);
        Ok(there.low.min(back.low))
    }

    fn pairs(&self, a: usize, b: usize, of: impl Fn(f64, f64) -> f64) -> Result<Estimate> {
        let pairs = self.0[a].iter().zip(&self.0[b]);
        Estimate::of(pairs.map(|(a, b)| of(*a, *b)).collect()).context("no rounds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_goes_forth_and_back() {
        let mut order = Vec::new();
        let samples = Samples::take(2, 3, |at| {
            order.push(at);
            Ok((at + 1) as f64 * order.len() as f64)
        })
        .unwrap();
        assert_eq!(order, [0, 1, 1, 0].repeat(3));
        // 1·1 and 1·4; 2·2 and 2·3; and so on.
        assert_eq!(samples.of(0).unwrap().median, 6.5);
        assert_eq!(samples.ratio(1, 0).unwrap().median, 2.0);
        assert_eq!(samples.difference(1, 0).unwrap().median, 6.5);
    }
}
