//! The quirky server, and clients that come to it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

use super::guard::Guard;
use super::script::Script;
use super::session::{Session, Surroundings};
use crate::control::dial;
use crate::lab::{Family, Host, Lab};
use crate::scripted::Scripted;

/// Length of the file that can be downloaded, bytes; `ordinary.txt` says it too.
pub const CONTENT_SIZE: usize = 20_000;

/// Segments that may be on the way without an acknowledgment: more than any reply has bytes.
const WINDOW: u32 = 512;

/// The file that can be downloaded, whatever it is called.
#[must_use]
pub fn content() -> Vec<u8> {
    (0..CONTENT_SIZE)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect()
}

/// A server with a quirk.
#[derive(Debug)]
pub struct Quirky<'a> {
    host: &'a Host,
    /// Its listeners.
    pub listeners: Scripted<'a>,
    script: Script,
    stored: Mutex<Vec<u8>>,
}

impl<'a> Quirky<'a> {
    /// Listens on port 21 of the server's address of that family; who comes has to wait for
    /// [`Quirky::serve_during`].
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(lab: &'a Lab, family: Family, script: Script) -> Result<Self> {
        let host = &lab.server;
        // With more than the usual ten segments on the way, what waits would be put into one.
        let client = lab.client.address(family);
        host.netns
            .ip(&format!("route add {client} dev eth0 initcwnd {WINDOW}"))?;
        Ok(Self {
            host,
            listeners: Scripted::start(host, family)?,
            script,
            stored: Mutex::default(),
        })
    }

    /// Serves whoever comes during `visit`, one after the other, and hands back what it returns.
    ///
    /// # Errors
    /// When what a transcript says comes of an exchange does not, and what `visit` fails with.
    pub fn serve_during<T>(
        &self,
        guard: Option<&Guard<'_>>,
        visit: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let serving = scope.spawn(|| self.serve(guard, &over));
            let visited = visit();
            over.store(true, Ordering::Relaxed);
            // One more, so that nobody waits for one.
            let last = dial(
                &self.host.netns,
                SocketAddr::new(self.listeners.address, 21),
            );
            let served = serving.join().expect("the server does not panic");
            served.and_then(|()| last.map(drop)).and(visited)
        })
    }

    /// What was uploaded last, if anything; from then on it is forgotten.
    ///
    /// # Panics
    /// When the server has.
    pub fn take_stored(&self) -> Vec<u8> {
        std::mem::take(&mut self.stored.lock().expect("nobody panicked"))
    }

    fn serve(&self, guard: Option<&Guard<'_>>, over: &AtomicBool) -> Result<()> {
        let around = Surroundings {
            server: &self.listeners,
            script: &self.script,
            stored: &self.stored,
            guard,
        };
        loop {
            let control = self.listeners.accept()?;
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
            Session::new(around, control)?
                .serve()
                .context("a quirky session")?;
        }
    }
}
