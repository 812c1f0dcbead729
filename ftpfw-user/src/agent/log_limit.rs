//! How many lines a second the log takes: clients make events, and a disk is not for them to fill.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tracing::warn;

/// Counts lines from one tick to the next.
#[derive(Debug)]
pub struct LogLimit {
    most: AtomicU32,
    lines: AtomicU32,
    left_out: AtomicU64,
}

impl LogLimit {
    /// A limit of `most` lines between two ticks.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self {
            most: AtomicU32::new(most),
            lines: AtomicU32::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// From now on another number of lines.
    pub fn set(&self, most: u32) {
        self.most.store(most, Relaxed);
    }

    /// Whether there is room for one more line.
    pub fn admits(&self) -> bool {
        let admits = self.lines.fetch_add(1, Relaxed) < self.most.load(Relaxed);
        if !admits {
            self.left_out.fetch_add(1, Relaxed);
        }
        admits
    }

    /// A second is over. Says how many lines were left out in it, if any were.
    pub fn tick(&self) {
        let most = self.most.load(Relaxed);
        let left_out = self.lines.swap(0, Relaxed).saturating_sub(most);
        if left_out > 0 {
            warn!(
                "{left_out} events of the last second are not in the log (--max-log-lines {most}); \
                 `ftpfw events` has them"
            );
        }
    }

    /// Lines that were left out since the start.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_makes_room() {
        let limit = LogLimit::new(2);
        assert_eq!([(); 4].map(|()| limit.admits()), [true, true, false, false]);
        assert_eq!(limit.left_out(), 2);
        limit.tick();
        assert!(limit.admits());
        assert_eq!(limit.left_out(), 2);
    }
}
