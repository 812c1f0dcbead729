//! The one atomic operation that `core::sync::atomic` lacks for this target.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

/// Adds to a word of a map that other CPUs and user space change too; wraps. What it was before.
///
/// `core` offers `fetch_add` only to targets with compare-and-exchange; BPF's own instruction
/// (`BPF_ADD | BPF_FETCH`, Linux 5.12) needs none.
///
/// # Safety
/// `word` is an aligned word of a live map value that is changed by atomics only.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word, value) }
}
