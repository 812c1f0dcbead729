//! A stranger who never stops knocking.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, scan_and_count};

/// The ports that a stranger knocks on, and how often it did so in vain.
#[derive(Debug, Default)]
pub struct Watch {
    ports: Mutex<BTreeSet<u16>>,
    knocks: AtomicU64,
    over: AtomicBool,
}

impl Watch {
    /// On one port from the beginning.
    pub fn on(port: u16) -> Self {
        let watch = Self::default();
        watch.add(port);
        watch
    }

    /// From now on this port too.
    pub fn add(&self, port: u16) {
        self.ports.lock().expect("no panic").insert(port);
    }

    /// No longer this port.
    pub fn remove(&self, port: u16) {
        self.ports.lock().expect("no panic").remove(&port);
    }

    /// SYNs that were sent, none of which was answered.
    pub fn knocks(&self) -> u64 {
        self.knocks.load(Relaxed)
    }

    /// Does `work` while the stranger knocks.
    ///
    /// # Errors
    /// What `work` fails with; that the stranger was answered, or never got to knock.
    pub fn during<T>(&self, lab: &Lab, work: impl FnOnce() -> Result<T>) -> Result<T> {
        thread::scope(|scope| {
            self.over.store(false, Relaxed);
            let stranger = scope.spawn(|| self.knock(lab));
            let _over = Over(&self.over);
            let done = work();
            self.over.store(true, Relaxed);
            stranger.join().expect("the stranger does not panic")?;
            done
        })
    }

    fn knock(&self, lab: &Lab) -> Result<()> {
        let server = lab.server.address(Family::V4);
        while !self.over.load(Relaxed) {
            let ports = self.ports.lock().expect("no panic").clone();
            let scan = scan_and_count(&lab.stranger, server, ports).context("the stranger")?;
            for (port, answer) in &scan.answers {
                ensure!(
                    *answer == Answer::Silent,
                    "the stranger's SYN to port {port} was answered: {answer:?}"
                );
            }
            self.knocks.fetch_add(scan.syns, Relaxed);
        }
        Ok(())
    }
}

/// Ends the knocking even when the work panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
