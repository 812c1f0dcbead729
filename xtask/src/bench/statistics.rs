//! What a shared machine lets one say: medians of ratios that were measured side by side, and how far
//! off they may be.

use std::fmt;

use serde::Serialize;

/// A median with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// Of a sample, by order statistics: no distribution is assumed. The number of values below the
    /// median is binomial, so the k-th smallest and the k-th largest bound it, k being the 2.5 %
    /// quantile (by the normal approximation, good from some 20 values on).
    pub fn of(mut sample: Vec<f64>) -> Option<Self> {
        sample.sort_by(f64::total_cmp);
        let count = sample.len();
        let last = count.checked_sub(1)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of rounds, far below 2^52, and never below 0"
        )]
        let rank = {
            let half = count as f64 / 2.0;
            (half - 1.96 * (half / 2.0).sqrt()).floor().max(0.0) as usize
        };
        Some(Self {
            median: f64::midpoint(sample[last / 2], sample[count / 2]),
            low: sample[rank],
            high: sample[last - rank],
        })
    }
}

impl Estimate {
    /// What was counted, not sampled.
    pub const fn exactly(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, low, high } = self;
        write!(f, "{median:.3} ({low:.3} … {high:.3})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_binomial_distribution() {
        let sample: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let estimate = Estimate::of(sample).unwrap();
        assert_eq!(estimate.median, 50.5);
        // 40 and 61 of 100: the textbook's ranks.
        assert_eq!((estimate.low, estimate.high), (41.0, 60.0));
    }

    #[test]
    fn few_values_bound_it_by_all_of_them() {
        assert_eq!(Estimate::of(Vec::new()), None);
        let estimate = Estimate::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!(
            (estimate.median, estimate.low, estimate.high),
            (2.0, 1.0, 3.0)
        );
    }
}
