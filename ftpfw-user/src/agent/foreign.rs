//! Ports that another process than the FTP daemon listens on: no reply may open them (ATTACKS 4).
//!
//! The programs refuse a port with the bit `FOREIGN`. It is set here, for listeners that were there
//! before and for those that the tracepoint reports, and cleared when they close: in the kernel, or here
//! where the kernel cannot.

use std::{
    collections::HashSet,
    fs,
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
            netns: netns(Path::new("/proc/self")),
        };
        foreign.mark(&policy);
        foreign
    }

    /// Marks what listens on ports that a policy, by port, closes. To be called before it holds.
    pub fn mark(&mut self, policy: &[u32]) {
        for socket in listeners::cut_off(policy) {
            if let ("tcp", Some((_, pid))) = (socket.transport, socket.process) {
                self.listening(socket.address.port(), pid);
            }
        }
    }

    /// A listener on `port` has closed, and the programs could not clear the bit. There may be others: on
    /// another address, or since.
    pub fn closed(&mut self, port: u16) {
        self.ports.clear_foreign(port);
        let mut only_this = vec![0; 1 << 16];
        only_this[usize::from(port)] = self.ports.get(port).policy();
        self.mark(&only_this);
    }

    /// Other ports are those of control connections.
    pub fn set_control(&mut self, control: Vec<u16>) {
        self.control = control;
        // Who holds them is looked up again.
        self.daemons.clear();
    }

    /// Process `pid` listens on `port`. Whether that closes the port to negotiations.
    pub fn listening(&mut self, port: u16, pid: i32) -> bool {
        // Gone already, or in a container: then it listens on other addresses than ours.
        let directory = PathBuf::from(format!("/proc/{pid}"));
        if !directory.exists() || netns(&directory) != self.netns || self.is_daemon(pid) {
            return false;
        }
        self.ports.set_foreign(port);
        true
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
