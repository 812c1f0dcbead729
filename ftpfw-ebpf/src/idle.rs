//! Where nothing can be let in. The rules are in `ftpfw_common::abi::idle`; this is the part of those who
//! make a place busy.
//!
//! An early kernel cannot take bits away: there no place is ever found idle, and each SYN is looked up.

use ftpfw_common::abi::idle::Place;

use crate::{atomic, kernel::EARLY, maps::IDLE};

/// Whether the agent has found a place idle, and nobody made it busy since.
#[inline(always)]
pub fn is_idle(place: Place) -> bool {
    has(place, place.idle())
}

/// Whether a place is, or is about to be found, idle.
#[inline(always)]
pub fn may_become_idle(place: Place) -> bool {
    has(place, place.both())
}

#[inline(always)]
fn has(place: Place, bits: u64) -> bool {
    !EARLY && IDLE.get(place.word).is_some_and(|word| word & bits != 0)
}

/// A place is busy. To be called when that is written down, and before anybody knows of it.
#[inline(always)]
pub fn busy(place: Place) {
    if !EARLY && let Some(word) = IDLE.get_ptr_mut(place.word) {
        // SAFETY: an aligned u64 of an array map, which user space too changes by atomics only.
        unsafe { atomic::fetch_and(word, !place.both()) };
    }
}
