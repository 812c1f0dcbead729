//! Counts that are too high: an agent died between counting something and making it.

use std::{collections::HashMap, hash::Hash, mem};

/// How often a count must be seen to be wrong by as much before it is changed. The programs count
/// before they arm, so for a moment it may be.
pub const LOOKS: u32 = 5;

/// What was too high, by how much, and how often in a row that was seen.
#[derive(Debug)]
pub(super) struct Surplus<K>(HashMap<K, (u32, u32)>);

impl<K> Default for Surplus<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Surplus<K> {
    /// One more look: every count with what it is too high by. Those that were so for [`LOOKS`] looks in
    /// a row; they are forgotten then, as the caller mends them.
    pub(super) fn confirmed(&mut self, counts: impl Iterator<Item = (K, u32)>) -> Vec<(K, u32)> {
        let before = mem::take(&mut self.0);
        let mut confirmed = Vec::new();
        for (key, surplus) in counts.filter(|(_, surplus)| *surplus > 0) {
            let looks = match before.get(&key) {
                Some((same, looks)) if *same == surplus => looks + 1,
                _ => 1,
            };
            if looks < LOOKS {
                self.0.insert(key, (surplus, looks));
            } else {
                confirmed.push((key, surplus));
            }
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_the_same_is_confirmed() {
        let mut surplus = Surplus::default();
        for _ in 1..LOOKS {
            assert_eq!(surplus.confirmed([(7, 2), (8, 0)].into_iter()), []);
        }
        assert_eq!(surplus.confirmed([(7, 2), (8, 0)].into_iter()), [(7, 2)]);
        for look in 0..2 * LOOKS {
            let changing = [(9, 1 + look % 2)];
            assert_eq!(surplus.confirmed(changing.into_iter()), []);
        }
    }
}
