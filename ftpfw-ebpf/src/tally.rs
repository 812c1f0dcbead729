//! Counts of what each client has, in hash maps.
//!
//! A count that comes down to zero stays in its map until the agent collects it, seconds later. To remove
//! it here would race with the next session of the same client on another CPU, which finds the entry,
//! counts itself, and loses it: whoever saw the zero removes what is one again.

use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};

use crate::{atomic, kernel::EARLY};

/// The entry of a key, made from `zero` where there is none. `None`: the map is full.
#[inline(always)]
pub fn entry<K, V>(map: &HashMap<K, V>, key: &K, zero: &V) -> Option<*mut V> {
    if let Some(entry) = map.get_ptr_mut(key) {
        return Some(entry);
    }
    // Another CPU may be first: then its entry is the one.
    let _ = map.insert(key, zero, u64::from(BPF_NOEXIST));
    map.get_ptr_mut(key)
}

/// Whether a count, as it was read, is above zero. On an early kernel it may be below: see [`take`].
#[inline(always)]
pub const fn is_some(count: u64) -> bool {
    if EARLY { count as i64 > 0 } else { count > 0 }
}

/// One less, but never below zero.
///
/// On an early kernel nothing tells what the count was, and it does go below where a full map kept a session
/// from being counted. That is as good as zero for [`is_some`], and for the agent, which collects the entry.
///
/// # Safety
/// `count` is an aligned word of a live map value that is changed by atomics only.
#[inline(always)]
pub unsafe fn take(count: *mut u64) {
    // SAFETY: the caller's.
    unsafe {
        if EARLY {
            atomic::add(count, 1u64.wrapping_neg());
        } else if atomic::fetch_add(count, 1u64.wrapping_neg()) == 0 {
            atomic::add(count, 1);
        }
    }
}
