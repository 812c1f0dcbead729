//! The map `CLIENTS`, through a mapping that it shares with the programs.

use std::{
    mem,
    os::fd::{AsFd, AsRawFd as _},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use ftpfw_common::{
    Address,
    abi::clients::{Count, PLACES, places},
};
use memmap2::{MmapOptions, MmapRaw};

use super::surplus::Surplus;

/// How many sessions and armed tuples each client has.
#[derive(Debug)]
pub struct Clients {
    memory: MmapRaw,
    seed: u64,
    /// Places whose count of tuples is too high.
    off: Surplus<u32>,
}

impl Clients {
    /// Maps the array behind `map`. `seed` is that of [`ftpfw_common::abi::policy::Settings`].
    ///
    /// # Errors
    ///
    /// When the map is not mmapable or not writable for this process.
    pub fn new(map: impl AsFd, seed: u64) -> anyhow::Result<Self> {
        let memory = MmapOptions::new()
            .len(PLACES as usize * size_of::<Count>())
            .map_raw(map.as_fd().as_raw_fd())
            .context("cannot map the array CLIENTS into memory")?;
        Ok(Self {
            memory,
            seed,
            off: Surplus::default(),
        })
    }

    /// What a client has; what others have in its places may add to that.
    #[must_use]
    pub fn get(&self, client: Address) -> (u32, u32) {
        let counts = places(client, self.seed).map(|place| self.count(place));
        let least = |of: fn(Count) -> u32| counts.map(of).into_iter().min().unwrap_or(0);
        (least(Count::sessions), least(Count::tuples))
    }

    /// One armed tuple more. To be called before it is inserted, as with [`super::ports::Ports`].
    pub(super) fn count_up(&self, client: Address) {
        for place in places(client, self.seed) {
            self.word(place)
                .fetch_add(Count::ONE_TUPLE, Ordering::AcqRel);
        }
    }

    /// One armed tuple less.
    pub(super) fn count_down(&self, client: Address) {
        for place in places(client, self.seed) {
            self.take(place);
        }
    }

    /// Takes what is too much of the counts of tuples, once it is certain. `armed` are the clients of all
    /// tuples. How many places were wrong.
    pub(super) fn mend(&mut self, armed: impl Iterator<Item = Address>) -> usize {
        let mut right = vec![0_u32; PLACES as usize];
        for client in armed {
            for place in places(client, self.seed) {
                right[place as usize] += 1;
            }
        }
        let mut off = mem::take(&mut self.off);
        let counts = (0..PLACES).zip(right);
        let wrong = off.confirmed(
            counts.map(|(place, right)| (place, self.count(place).tuples().saturating_sub(right))),
        );
        for (place, surplus) in &wrong {
            (0..*surplus).for_each(|_| self.take(*place));
        }
        self.off = off;
        wrong.len()
    }

    fn count(&self, place: u32) -> Count {
        Count(self.word(place).load(Ordering::Relaxed))
    }

    /// Stays at zero, where only a bug could bring it below: the count of sessions would pay for it.
    fn take(&self, place: u32) {
        let _unchanged =
            self.word(place)
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                    (Count(word).tuples() > 0).then(|| word - Count::ONE_TUPLE)
                });
    }

    fn word(&self, place: u32) -> &AtomicU64 {
        const { assert!(size_of::<Count>() == size_of::<AtomicU64>()) };
        let first = self.memory.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping begins on a page, is PLACES words long and lives as long as `self`; the
        // mask keeps `place` below PLACES, a power of two. The kernel writes to it at the same time, but
        // these words are only ever reached by atomic operations: here, and in the programs by BPF's
        // atomic instructions and aligned 64-bit loads.
        unsafe { &*first.add((place & (PLACES - 1)) as usize) }
    }
}
