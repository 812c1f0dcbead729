//! Who looks at ftpfw while a quirky server speaks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::firewall::Firewall;
use crate::lab::{Family, Host, Lab};
use crate::probe::expect_dropped;
use crate::scene::PORT;
use crate::scripted::Scripted;
use crate::wait;

/// The firewall, and whom it lets through.
#[derive(Debug)]
pub struct Guard<'a> {
    lab: &'a Lab,
    firewall: &'a Firewall,
    /// Ports that stay closed where a negotiation is refused.
    ports: Vec<u16>,
    /// SYNs that were sent to be dropped.
    probes: AtomicU64,
    /// Refusals that transcripts have foretold.
    refused: Mutex<BTreeMap<String, u64>>,
}

impl<'a> Guard<'a> {
    /// Guards servers that may announce `service`, where another program listens.
    #[must_use]
    pub fn new(lab: &'a Lab, firewall: &'a Firewall, service: Option<u16>) -> Self {
        Self {
            lab,
            firewall,
            ports: service.into_iter().chain([PORT]).collect(),
            probes: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// Stops all processes of the client's: what is sent to it now, it sees later.
    pub(super) fn freeze(&self) -> Result<Frozen> {
        let mut frozen = Frozen(Vec::new());
        for pid in self.lab.client.netns.pids()? {
            // A thread of the tests may be there, to send a packet.
            if pid.as_raw_nonzero().get().cast_unsigned() == process::id() {
                continue;
            }
            match kill_process(pid, Signal::STOP) {
                Ok(()) => frozen.0.push(pid),
                // It has ended meanwhile.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error).context("stop the client"),
            }
        }
        Ok(frozen)
    }

    /// Insists that ftpfw has concluded so. `named`: where the client is to be dialled.
    pub(super) fn check(
        &self,
        server: &Scripted<'_>,
        expected: &str,
        named: Option<SocketAddr>,
    ) -> Result<()> {
        let words: Vec<_> = expected.split(' ').collect();
        match words[..] {
            ["arm", "passive", port, _] => self.passive(server, port.parse()?),
            ["arm", "active", ..] => self.active(server, named.context("no PORT")?),
            ["refused", reason] => self.refused(server, reason),
            ["nothing"] => self.nothing(server),
            ["opaque"] => self.opaque(),
            // What is left at the end says whether these were right.
            ["logged-in"] | ["withdraw" | "withdraw-active", _] => Ok(()),
            _ => bail!("cannot be checked"),
        }
    }

    /// The client may come to `port`, and nobody else.
    fn passive(&self, server: &Scripted<'_>, port: u16) -> Result<()> {
        let client = self.lab.client.address(Family::of(server.address));
        self.firewall.wait_for_tuples("the tuple", |tuples| {
            matches!(tuples, [it] if it.client == client
                && (it.mode.as_str(), it.state.as_str(), it.port) == ("passive", "armed", Some(port)))
        })?;
        self.dropped(server, &self.lab.stranger, port, "no-tuple")
    }

    /// The server may dial the client there, and nobody may come in by that, nor be dialled.
    fn active(&self, server: &Scripted<'_>, named: SocketAddr) -> Result<()> {
        self.firewall.wait_for_tuples("the tuple", |tuples| {
            matches!(tuples, [it] if it.mode == "active"
                && (it.client, it.client_port) == (named.ip(), Some(named.port())))
        })?;
        self.dropped(server, &self.lab.stranger, named.port(), "not-armed")?;
        let stranger = self.lab.stranger.address(Family::of(server.address));
        let before = self.firewall.stats()?.dropped("bounce-out");
        let _bounced = server.dial_from_20(SocketAddr::new(stranger, named.port()))?;
        wait::until("the bounce to be dropped", || {
            let dropped = self.firewall.stats()?.dropped("bounce-out");
            Ok((dropped > before).then_some(()))
        })
    }

    /// The session is encrypted.
    fn opaque(&self) -> Result<()> {
        wait::until("the session to be opaque", || {
            let sessions = self.firewall.sessions()?;
            Ok(sessions.iter().any(|it| it.tls).then_some(()))
        })
    }

    /// Counted under that reason, and the client may come nowhere.
    fn refused(&self, server: &Scripted<'_>, reason: &str) -> Result<()> {
        let mut foretold = self.refused.lock().expect("nobody panicked");
        *foretold.entry(reason.to_owned()).or_default() += 1;
        drop(foretold);
        wait::until("the refusal to be counted", || {
            Ok(self.as_foretold()?.then_some(()))
        })?;
        self.nothing(server)
    }

    /// No tuple is there, and the client may come nowhere.
    fn nothing(&self, server: &Scripted<'_>) -> Result<()> {
        let tuples = self.firewall.tuples()?;
        ensure!(tuples.is_empty(), "armed: {tuples:?}");
        ensure!(self.as_foretold()?, "something was refused");
        self.closed(server)
    }

    /// The client may come nowhere.
    pub(super) fn closed(&self, server: &Scripted<'_>) -> Result<()> {
        self.ports
            .iter()
            .try_for_each(|port| self.dropped(server, &self.lab.client, *port, "not-armed"))
    }

    fn dropped(&self, server: &Scripted<'_>, from: &Host, port: u16, reason: &str) -> Result<()> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        expect_dropped(self.firewall, from, server.address, port, reason)
    }

    fn as_foretold(&self) -> Result<bool> {
        let mut counted = self.firewall.stats()?.refused;
        counted.retain(|_, count| *count != 0);
        Ok(counted == *self.refused.lock().expect("nobody panicked"))
    }

    /// How many SYNs were dropped that the guard had not sent to be.
    ///
    /// # Errors
    /// When ftpfw does not say.
    pub fn missed(&self) -> Result<u64> {
        let dropped = self.firewall.stats()?.dropped_syns();
        Ok(dropped - self.probes.load(Ordering::Relaxed))
    }

    /// Insists that nothing is open any more, that nothing was refused beyond what transcripts say, and
    /// that kernel and agent concluded the same.
    ///
    /// # Errors
    /// When it is not so.
    pub fn at_the_end(&self) -> Result<()> {
        self.firewall
            .wait_for_tuples("no tuple to be left", <[_]>::is_empty)?;
        let refused = &self.firewall.stats()?.refused;
        ensure!(self.as_foretold()?, "refused: {refused:?}");
        let status: serde_json::Value = self.firewall.query(&["status"])?;
        ensure!(status["agent"]["disagreements"] == 0, "{status}");
        Ok(())
    }
}

/// Processes that are stopped; they go on when this is dropped.
#[derive(Debug)]
pub(super) struct Frozen(Vec<Pid>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _killed_meanwhile = kill_process(*pid, Signal::CONT);
        }
    }
}
