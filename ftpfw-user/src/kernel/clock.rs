//! The clock of the maps.

use std::time::Duration;

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
