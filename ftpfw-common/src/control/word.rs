//! A word that one direction of a session writes while the other reads it.

#[cfg(target_arch = "bpf")]
type Inner = core::cell::Cell<u64>;
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::Ordering::Relaxed;

#[cfg(not(target_arch = "bpf"))]
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

#[cfg(not(target_arch = "bpf"))]
type Inner = core::sync::atomic::AtomicU64;

/// 64 bits, read and written whole.
///
/// On the host an atomic. LLVM's BPF back end knows no atomic load below CPU level 4, but an aligned
/// word is one load or store instruction there, which the kernel's JITs keep whole.
#[derive(Debug, Default)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
#[repr(transparent)]
pub struct Word(Inner);

impl Word {
    #[inline(always)]
    pub(super) fn load(&self) -> u64 {
        #[cfg(target_arch = "bpf")]
        return self.0.get();
        #[cfg(not(target_arch = "bpf"))]
        return self.0.load(Relaxed);
    }

    #[inline(always)]
    pub(super) fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        self.0.set(value);
        #[cfg(not(target_arch = "bpf"))]
        self.0.store(value, Relaxed);
    }
}
