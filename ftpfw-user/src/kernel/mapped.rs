//! Arrays that the programs and this process change at the same time.

use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd as _},
    sync::atomic::{AtomicU32, AtomicU64},
};

use anyhow::Context as _;
use memmap2::{MmapOptions, MmapRaw};

/// What one entry of a mapped array is.
pub(super) trait Word {}

impl Word for AtomicU32 {}
impl Word for AtomicU64 {}

/// An array map through a mapping that is shared with the programs. Its words are reached by atomic
/// operations: to read and write whole entries would undo what the kernel changed in between.
pub(super) struct Mapped<W> {
    memory: MmapRaw,
    count: u32,
    words: PhantomData<W>,
}

impl<W: Word> Mapped<W> {
    /// From one word to the next: the kernel rounds entries of arrays up to 8 bytes (`array_map_alloc` in
    /// `kernel/bpf/arraymap.c`).
    const STRIDE: usize = size_of::<W>().next_multiple_of(8);

    /// Maps the array of `count` words behind `map`.
    ///
    /// # Errors
    ///
    /// When the map is not mmapable or not writable for this process.
    pub(super) fn new(name: &str, map: impl AsFd, count: u32) -> anyhow::Result<Self> {
        let memory = MmapOptions::new()
            .len(count as usize * Self::STRIDE)
            .map_raw(map.as_fd().as_raw_fd())
            .with_context(|| format!("cannot map the array {name} into memory"))?;
        Ok(Self {
            memory,
            count,
            words: PhantomData,
        })
    }

    /// One word. Panics where there is none.
    pub(super) fn at(&self, index: u32) -> &W {
        assert!(index < self.count);
        let first = self.memory.as_mut_ptr();
        // SAFETY: the mapping begins on a page, is `count` strides long, of which this is one, and lives as
        // long as `self`. The kernel writes to it at the same time, but these words are only ever reached
        // by atomic operations: here, and in the programs by BPF's atomic instructions and aligned loads
        // and stores of whole words.
        unsafe { &*first.add(index as usize * Self::STRIDE).cast::<W>() }
    }
}

impl<W> fmt::Debug for Mapped<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.count, type_name::<W>())
    }
}
