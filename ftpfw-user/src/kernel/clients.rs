//! The map `CLIENTS`, through a mapping that it shares with the programs.

use std::{
    mem,
    os::fd::AsFd,
    sync::atomic::{AtomicU64, Ordering},
};

use ftpfw_common::{
    Address,
    abi::{
        self,
        clients::{Count, PLACES, places},
    },
};

use super::{mapped::Mapped, surplus::Surplus};

/// How many sessions and armed tuples each client has.
#[derive(Debug)]
pub struct Clients {
    words: Mapped<AtomicU64>,
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
        Ok(Self {
            words: Mapped::new(abi::maps::CLIENTS, map, PLACES)?,
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
        self.words.at(place)
    }
}
