//! Words that one direction of a session writes while the other reads them.

#[cfg(target_arch = "bpf")]
use core::cell::Cell;
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

#[cfg(not(target_arch = "bpf"))]
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// A word that is read and written whole.
///
/// On the host an atomic. LLVM's BPF back end knows no atomic load below CPU level 4, but an aligned
/// word is one load or store instruction there, which the kernel's JITs keep whole.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $type:ty, $atomic:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[cfg_attr(not(target_arch = "bpf"), derive(FromBytes, IntoBytes, KnownLayout))]
        #[repr(transparent)]
        pub struct $name(
            #[cfg(target_arch = "bpf")] Cell<$type>,
            #[cfg(not(target_arch = "bpf"))] $atomic,
        );

        impl $name {
            #[inline(always)]
            pub(super) fn load(&self) -> $type {
                #[cfg(target_arch = "bpf")]
                return self.0.get();
                #[cfg(not(target_arch = "bpf"))]
                return self.0.load(Relaxed);
            }

            #[inline(always)]
            pub(super) fn store(&self, value: $type) {
                #[cfg(target_arch = "bpf")]
                self.0.set(value);
                #[cfg(not(target_arch = "bpf"))]
                self.0.store(value, Relaxed);
            }
        }
    };
}

word!(
    /// 64 bits.
    Word, u64, AtomicU64
);
word!(
    /// 32 bits.
    Half, u32, AtomicU32
);
