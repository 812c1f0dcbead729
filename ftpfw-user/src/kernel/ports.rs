//! The map `PORTS`, through a mapping that it shares with the programs.

use std::{
    os::fd::{AsFd, AsRawFd as _},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use ftpfw_common::abi::{policy::port as bits, values::PortEntry};
use memmap2::{MmapOptions, MmapRaw};

/// Entries of the map: one for each port, 0 included.
const COUNT: usize = 65_536;

/// Policy and armed count of every local port.
///
/// The programs change the count while this process does, which is why it is reached by atomic
/// operations on shared memory and not by reading and writing entries (DESIGN §4, step 5): an
/// update of a whole entry from here would undo what the kernel counted in between.
#[derive(Debug)]
pub struct Ports {
    memory: MmapRaw,
}

impl Ports {
    /// Maps the array behind `map`.
    ///
    /// # Errors
    ///
    /// When the map is not mmapable or not writable for this process.
    pub fn new(map: impl AsFd) -> anyhow::Result<Self> {
        let memory = MmapOptions::new()
            .len(COUNT * size_of::<PortEntry>())
            .map_raw(map.as_fd().as_raw_fd())
            .context("cannot map the array PORTS into memory")?;
        Ok(Self { memory })
    }

    /// The entry of one port, at this moment.
    #[must_use]
    pub fn get(&self, port: u16) -> PortEntry {
        PortEntry(self.word(port).load(Ordering::Relaxed))
    }

    /// The ports of control connections.
    #[must_use]
    pub fn control(&self) -> Vec<u16> {
        (0..=u16::MAX)
            .filter(|port| self.get(*port).policy() & bits::CONTROL != 0)
            .collect()
    }

    /// Sets the policy of every port: bits of [`ftpfw_common::abi::policy::port`], by port. Armed
    /// counts stay.
    pub fn set_policy(&self, table: &[u32]) {
        for (port, bits) in (0..=u16::MAX).zip(table) {
            self.update(port, |entry| Some(entry.with_policy(*bits)));
        }
    }

    /// As [`Self::set_policy`], while the programs run: what is known of listeners stays too.
    pub fn change_policy(&self, table: &[u32]) {
        for (port, policy) in (0..=u16::MAX).zip(table) {
            self.update(port, |entry| {
                let foreign = entry.policy() & bits::FOREIGN;
                Some(entry.with_policy(*policy | foreign))
            });
        }
    }

    /// Another process than the FTP daemon listens on `port`.
    pub fn set_foreign(&self, port: u16) {
        self.update(port, |entry| {
            Some(entry.with_policy(entry.policy() | bits::FOREIGN))
        });
    }

    /// Counts one more passive tuple. To be called *before* the tuple is inserted: a count that is
    /// too high costs a lookup, one that is too low costs the client its SYN.
    pub fn count_up(&self, port: u16) {
        self.word(port)
            .fetch_add(PortEntry::ONE_ARMED, Ordering::AcqRel);
    }

    /// Counts one passive tuple less. Stays at zero, where only a bug could bring it below: the
    /// policy would pay for it.
    pub fn count_down(&self, port: u16) {
        self.update(port, |entry| {
            (entry.armed() > 0).then(|| PortEntry(entry.0 - PortEntry::ONE_ARMED))
        });
    }

    /// Counts one more listener of an FTP daemon's, as the programs do when it listens.
    pub fn count_listener(&self, port: u16) {
        self.word(port)
            .fetch_add(PortEntry::ONE_LISTENER, Ordering::AcqRel);
    }

    /// Counts one listener less.
    pub fn uncount_listener(&self, port: u16) {
        self.update(port, |entry| {
            (entry.listeners() > 0).then(|| PortEntry(entry.0 - PortEntry::ONE_LISTENER))
        });
    }

    fn update(&self, port: u16, change: impl Fn(PortEntry) -> Option<PortEntry>) {
        let _unchanged =
            self.word(port)
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                    change(PortEntry(word)).map(|entry| entry.0)
                });
    }

    fn word(&self, port: u16) -> &AtomicU64 {
        const { assert!(size_of::<PortEntry>() == size_of::<AtomicU64>()) };
        let first = self.memory.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping begins on a page and is COUNT words long, lives as long as `self`, and
        // `port` < COUNT. The kernel writes to it at the same time, but these words are only ever
        // reached by atomic operations: here, and in the programs by BPF's atomic instructions and
        // aligned 64-bit loads.
        unsafe { &*first.add(usize::from(port)) }
    }
}
