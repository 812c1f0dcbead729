//! Counters, and what follows from a verdict.

use ftpfw_common::reason::{Counter, Nic, Reason};

use crate::maps::{self, COUNTERS, settings};

/// Adds one to what is counted for all interfaces together.
#[inline(always)]
pub fn add(counter: Counter) {
    add_on(counter, Nic(0));
}

#[inline(always)]
fn add_on(counter: Counter, nic: Nic) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter.index(nic)) {
        // SAFETY: the entry belongs to this CPU, and BPF programs do not migrate while they run.
        unsafe { *value += 1 };
    }
}

/// Counts a verdict on a packet of that interface and says whether the packet goes on; under
/// `--dry-run` every packet does.
#[inline(always)]
pub fn passes(reason: Reason, interface: u32) -> bool {
    let nic = maps::nic(interface);
    if reason.is_pass() {
        add_on(Counter::Verdict(reason), nic);
        return true;
    }
    let dry_run = settings().is_some_and(|settings| settings.dry_run != 0);
    let counter = if dry_run {
        Counter::WouldDrop(reason)
    } else {
        Counter::Verdict(reason)
    };
    add_on(counter, nic);
    dry_run
}
