//! `CLOCK_MONOTONIC`, ns.

use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};

use crate::kernel::EARLY;

/// The time at the last timer tick: 4 ns instead of 36, and a few ms late, which no deadline minds;
/// on an early kernel the exact one. XDP and TC programs only.
#[inline(always)]
pub fn coarse() -> u64 {
    if EARLY {
        return fine();
    }
    // SAFETY: the helper has no argument and no effect.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The exact time of the same clock; what tracepoint programs may call.
#[inline(always)]
pub fn fine() -> u64 {
    // SAFETY: the helper has no argument and no effect.
    unsafe { bpf_ktime_get_ns() }
}
