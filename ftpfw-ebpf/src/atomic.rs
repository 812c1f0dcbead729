//! The atomic operations that `core::sync::atomic` lacks for this target: it offers `fetch_add` only
//! where there is compare-and-exchange; BPF's own instruction needs none. Early kernels know [`add`] alone.

use core::intrinsics::{AtomicOrdering, atomic_and, atomic_xadd};

/// Adds to a word of a map that other CPUs and user space change too; wraps.
///
/// # Safety
/// `word` is an aligned word of a live map value that is changed by atomics only.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word, value) };
}

/// The same; what the word was before.
///
/// Not `Relaxed`: LLVM makes of that an instruction which returns nothing (`BPF_ADD` without
/// `BPF_FETCH`), and leaves the addend where the result is looked for.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn fetch_add(word: *mut u64, value: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(word, value) }
}

/// Clears the bits of a word that are not in `mask`, as a full barrier: what was written before is seen by
/// whoever sees the bits cleared.
///
/// # Safety
/// As for [`add`].
#[inline(always)]
pub unsafe fn fetch_and(word: *mut u64, mask: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { atomic_and::<u64, u64, { AtomicOrdering::SeqCst }>(word, mask) }
}
