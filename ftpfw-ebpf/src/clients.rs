//! Limits of one client. The only code that changes `CLIENTS`.
//!
//! Functions of their own for the sake of the stack: 512 bytes for all frames together.

use ftpfw_common::{
    Address,
    abi::{
        clients::{Count, places},
        policy::Settings,
    },
};

use crate::{
    atomic,
    maps::{CLIENTS, settings},
};

/// What is counted of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Sessions,
    Tuples,
}

impl Counted {
    #[inline(always)]
    const fn one(self) -> u64 {
        match self {
            Self::Sessions => Count::ONE_SESSION,
            Self::Tuples => Count::ONE_TUPLE,
        }
    }

    #[inline(always)]
    const fn of(self, count: Count) -> u32 {
        match self {
            Self::Sessions => count.sessions(),
            Self::Tuples => count.tuples(),
        }
    }

    #[inline(always)]
    const fn limit(self, settings: &Settings) -> u32 {
        match self {
            Self::Sessions => settings.sessions_per_client,
            Self::Tuples => settings.tuples_per_client,
        }
    }
}

/// Whether the client may have one more. Two CPUs may both find that it may: the limit is passed by as
/// many as there are CPUs, at most.
#[inline(never)]
pub fn may_have_more(client: &Address, counted: Counted) -> bool {
    let Some(settings) = settings() else {
        return false;
    };
    let limit = counted.limit(settings);
    places(*client, settings.seed).into_iter().any(|place| {
        let count = CLIENTS.get(place).copied().unwrap_or(0);
        counted.of(Count(count)) < limit
    })
}

/// One more.
#[inline(always)]
pub fn count_up(client: &Address, counted: Counted) {
    add(client, counted.one());
}

/// One less: only where one was counted.
#[inline(always)]
pub fn count_down(client: &Address, counted: Counted) {
    add(client, counted.one().wrapping_neg());
}

#[inline(never)]
fn add(client: &Address, change: u64) {
    let seed = settings().map_or(0, |settings| settings.seed);
    for place in places(*client, seed) {
        if let Some(count) = CLIENTS.get_ptr_mut(place) {
            // SAFETY: an aligned u64 of an array map, which user space too changes by atomics only.
            unsafe { atomic::add(count, change) };
        }
    }
}
