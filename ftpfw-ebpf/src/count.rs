//! Counters, and what follows from a verdict.

use ftpfw_common::reason::{Counter, Reason};

use crate::maps::{COUNTERS, settings};

/// Adds one.
#[inline(always)]
pub fn add(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index()) {
        // SAFETY: the entry belongs to this CPU, and BPF programs do not migrate while they run.
        unsafe { *value += 1 };
    }
}

/// Counts a verdict and says whether the packet goes on; under `--dry-run` every packet does.
#[inline(always)]
pub fn passes(reason: Reason) -> bool {
    if reason.is_pass() {
        add(Counter::Verdict(reason));
        return true;
    }
    let dry_run = settings().is_some_and(|settings| settings.dry_run != 0);
    add(if dry_run {
        Counter::WouldDrop(reason)
    } else {
        Counter::Verdict(reason)
    });
    dry_run
}
