//! The map `PORTS`, through a mapping that it shares with the programs.

use std::{
    os::fd::AsFd,
    sync::atomic::{AtomicU64, Ordering},
};

use ftpfw_common::abi::{self, idle::Place, policy::port as bits, values::PortEntry};

use super::{
    idle::{Idle, may_be_idle},
    mapped::Mapped,
};

/// Entries of the map: one for each port, 0 included.
const COUNT: u32 = 65_536;

/// Policy and armed count of every local port.
///
/// The programs change the count while this process does, which is why it is reached by atomic
/// operations on shared memory and not by reading and writing entries (DESIGN §4, step 5): an
/// update of a whole entry from here would undo what the kernel counted in between.
#[derive(Debug)]
pub struct Ports {
    words: Mapped<AtomicU64>,
    idle: Idle,
}

impl Ports {
    /// Maps the arrays behind `map` and, of ports that are known to be idle, `idle`.
    ///
    /// # Errors
    ///
    /// When one is not mmapable or not writable for this process.
    pub fn new(map: impl AsFd, idle: impl AsFd) -> anyhow::Result<Self> {
        Ok(Self {
            words: Mapped::new(abi::maps::PORTS, map, COUNT)?,
            idle: Idle::new(idle)?,
        })
    }

    /// Ports that are known to be idle.
    #[must_use]
    pub const fn idle(&self) -> &Idle {
        &self.idle
    }

    /// The entry of one port, at this moment.
    #[must_use]
    pub fn get(&self, port: u16) -> PortEntry {
        PortEntry(self.word(port).load(Ordering::SeqCst))
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
            self.forget_idle(port);
        }
    }

    /// As [`Self::set_policy`], while the programs run: what is known of listeners stays too.
    pub fn change_policy(&self, table: &[u32]) {
        for (port, policy) in (0..=u16::MAX).zip(table) {
            self.update(port, |entry| {
                let foreign = entry.policy() & bits::FOREIGN;
                Some(entry.with_policy(*policy | foreign))
            });
            self.forget_idle(port);
        }
    }

    /// Another process than the FTP daemon listens on `port`.
    pub fn set_foreign(&self, port: u16) {
        self.update(port, |entry| {
            Some(entry.with_policy(entry.policy() | bits::FOREIGN))
        });
    }

    /// Nobody listens on `port` any more.
    pub fn clear_foreign(&self, port: u16) {
        self.update(port, |entry| {
            Some(entry.with_policy(entry.policy() & !bits::FOREIGN))
        });
    }

    /// Counts one more passive tuple. To be called *before* the tuple is inserted: a count that is
    /// too high costs a lookup, one that is too low costs the client its SYN.
    pub fn count_up(&self, port: u16) {
        self.word(port)
            .fetch_add(PortEntry::ONE_ARMED, Ordering::AcqRel);
        self.idle.busy(Place::tcp(port));
    }

    /// Counts one passive tuple less. Stays at zero, where only a bug could bring it below: the
    /// policy would pay for it.
    pub fn count_down(&self, port: u16) {
        self.update(port, |entry| {
            (entry.armed() > 0).then(|| PortEntry(entry.0 - PortEntry::ONE_ARMED))
        });
    }

    /// Counts one more listener of an FTP daemon's, as the programs do when it listens; `false` where there
    /// are [`PortEntry::MAX_LISTENERS`] of them.
    #[must_use]
    pub fn count_listener(&self, port: u16) -> bool {
        let counted = self.update(port, |entry| {
            (entry.listeners() < PortEntry::MAX_LISTENERS)
                .then(|| PortEntry(entry.0 + PortEntry::ONE_LISTENER))
        });
        self.idle.busy(Place::tcp(port));
        counted
    }

    /// Counts one listener less.
    pub fn uncount_listener(&self, port: u16) {
        self.update(port, |entry| {
            (entry.listeners() > 0).then(|| PortEntry(entry.0 - PortEntry::ONE_LISTENER))
        });
    }

    /// Whether there was anything to change.
    fn update(&self, port: u16, change: impl Fn(PortEntry) -> Option<PortEntry>) -> bool {
        let updated = self
            .word(port)
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                change(PortEntry(word)).map(|entry| entry.0)
            });
        updated.is_ok()
    }

    /// Of those that this policy lets be idle nothing changes.
    fn forget_idle(&self, port: u16) {
        let [tcp, udp] = may_be_idle(self.get(port));
        if !tcp {
            self.idle.busy(Place::tcp(port));
        }
        if !udp {
            self.idle.busy(Place::udp(port));
        }
    }

    fn word(&self, port: u16) -> &AtomicU64 {
        self.words.at(port.into())
    }
}
