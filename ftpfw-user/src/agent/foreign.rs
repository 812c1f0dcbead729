//! Ports that another process than the FTP daemon listens on: no reply may open them (ATTACKS 4).
//!
//! The programs refuse a port with the bit `FOREIGN`. It is set here, for listeners that were there
//! before and for those that the tracepoint reports, and cleared when the last of them has closed.

use std::{
    collections::HashSet,
    fs, mem,
    path::{Path, PathBuf},
};

use super::holders::{self, INIT, parent, program};
use crate::{kernel::ports::Ports, listeners};

/// Ancestors that are asked: a daemon's helper is not far from it.
const GENERATIONS: usize = 8;

/// Tells FTP daemons from other processes.
#[derive(Debug)]
pub struct Foreign {
    ports: Ports,
    control: Vec<u16>,
    /// Programs that were seen to hold a control connection or its listener.
    daemons: HashSet<PathBuf>,
    /// Ports of which it is to be seen who listens there now.
    unsettled: HashSet<u16>,
    /// Ports where the process that was found had ended when it was looked at: not at once, but again.
    unsure: HashSet<u16>,
    /// It is to be seen of all ports.
    records_lost: bool,
    /// The network namespace of this process.
    netns: Option<PathBuf>,
}

impl Foreign {
    /// Judges by the policy in `ports`, and marks what is there already.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        let policy: Vec<u32> = (0..=u16::MAX)
            .map(|number| ports.get(number).policy())
            .collect();
        let mut foreign = Self {
            control: ports.control(),
            ports,
            daemons: HashSet::new(),
            unsettled: HashSet::new(),
            unsure: HashSet::new(),
            records_lost: false,
            netns: netns(Path::new("/proc/self")),
        };
        let _listening = foreign.mark(&policy);
        foreign
    }

    /// Marks what listens on ports that a policy, by port, closes, and tells which those are. To be called
    /// before it holds. Where the listener's process has ended meanwhile, another one may have it still.
    pub fn mark(&mut self, policy: &[u32]) -> HashSet<u16> {
        let mut found = HashSet::new();
        for socket in listeners::cut_off(policy) {
            let port = socket.address.port();
            let ("tcp", Some((_, pid))) = (socket.transport, socket.process) else {
                continue;
            };
            match self.is_foreign(pid) {
                Some(true) => {
                    self.ports.set_foreign(port);
                    found.insert(port);
                }
                Some(false) => {}
                None => drop(self.unsure.insert(port)),
            }
        }
        found
    }

    /// A listener on `port` has closed.
    pub fn closed(&mut self, port: u16) {
        self.unsettled.insert(port);
    }

    /// Nobody knows who began to listen meanwhile.
    pub const fn lost(&mut self) {
        self.records_lost = true;
    }

    /// Makes up for what was [`Self::lost`], or could not be seen.
    pub fn catch_up(&mut self) {
        if mem::take(&mut self.records_lost) {
            self.unsettled.extend(0..=u16::MAX);
        }
        self.unsettled.extend(self.unsure.drain());
        self.settle();
    }

    /// Looks who listens now on ports of which [`Self::closed`] and [`Self::listening`] could not tell: there
    /// may be others, on another address or since. One look for all of them.
    pub fn settle(&mut self) {
        if self.unsettled.is_empty() {
            return;
        }
        let unsettled = mem::take(&mut self.unsettled);
        let mut policy = vec![0; 1 << 16];
        for port in &unsettled {
            policy[usize::from(*port)] = self.ports.get(*port).policy();
        }
        let found = self.mark(&policy);
        for port in unsettled.difference(&found) {
            if !self.unsure.contains(port) {
                self.ports.clear_foreign(*port);
            }
        }
    }

    /// Other ports are those of control connections.
    pub fn set_control(&mut self, control: Vec<u16>) {
        self.control = control;
        // Who holds them is looked up again.
        self.daemons.clear();
    }

    /// Process `pid` listens on `port`. Whether that closes the port to negotiations.
    pub fn listening(&mut self, port: u16, pid: i32) -> bool {
        match self.is_foreign(pid) {
            Some(false) => false,
            Some(true) => {
                self.ports.set_foreign(port);
                true
            }
            // It may have handed its socket on: a service that goes into the background does.
            None => {
                self.unsettled.insert(port);
                false
            }
        }
    }

    /// Whether a process is none of an FTP daemon's; `None` when it has ended.
    fn is_foreign(&mut self, pid: i32) -> Option<bool> {
        let netns = netns(&PathBuf::from(format!("/proc/{pid}")))?;
        // In a container it listens on other addresses than ours.
        Some(Some(netns) == self.netns && !self.is_daemon(pid))
    }

    /// Whether a process, or one that it descends from, is an FTP daemon: it runs a program that was
    /// seen to hold a control connection or its listener.
    fn is_daemon(&mut self, pid: i32) -> bool {
        let mut ancestors = vec![pid];
        while let Some(parent) = ancestors.last().copied().and_then(parent)
            && parent > INIT
            && ancestors.len() < GENERATIONS
        {
            ancestors.push(parent);
        }
        let known = |daemons: &HashSet<PathBuf>| {
            ancestors
                .iter()
                .any(|&pid| program(pid).is_some_and(|program| daemons.contains(&program)))
        };
        if known(&self.daemons) {
            return true;
        }
        // A program not seen before, or a daemon that was started since.
        self.find_daemons();
        known(&self.daemons)
    }

    /// Finds the programs that hold control connections now.
    fn find_daemons(&mut self) {
        let inodes = holders::sockets(&self.control)
            .map(|socket| socket.inode)
            .collect();
        let holding = holders::of(&inodes);
        self.daemons
            .extend(holding.iter().filter_map(|process| process.exe().ok()));
    }
}

fn netns(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/net")).ok()
}
