//! The clock of the maps, and what time of day it is by it.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// Now, ns of `CLOCK_MONOTONIC`: the clock that every timestamp in the maps is of.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds from `earlier` to `later`, both ns; 0 when `later` is the earlier one.
#[must_use]
pub const fn ms_between(earlier: u64, later: u64) -> u64 {
    later.saturating_sub(earlier) / 1_000_000
}

/// Tells the time of day of moments on the clock of the maps.
#[derive(Debug, Default)]
pub struct TimeOfDay {
    /// ns from the one clock to the other.
    offset: i128,
}

impl TimeOfDay {
    /// The two clocks are never read at the same moment, and drift a little. Below this, ns, the old
    /// offset is kept: what happened later must not get the earlier time.
    const STEP: u128 = 5_000_000;

    /// When `at`, ns of `CLOCK_MONOTONIC`, was.
    pub fn of(&mut self, at: u64) -> Timestamp {
        let wall = Timestamp::now();
        let offset = wall.as_nanosecond() - i128::from(now());
        if offset.abs_diff(self.offset) > Self::STEP {
            self.offset = offset;
        }
        Timestamp::from_nanosecond(self.offset + i128::from(at)).unwrap_or(wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_order_and_their_distance() {
        let mut time = TimeOfDay::default();
        let at = now();
        let first = time.of(at);
        let second = time.of(at + 1_500_000);
        assert_eq!(second.as_nanosecond() - first.as_nanosecond(), 1_500_000);
        let age = Timestamp::now().duration_since(first);
        assert!(age.as_secs().abs() < 5, "{age:?} ago");
    }
}
