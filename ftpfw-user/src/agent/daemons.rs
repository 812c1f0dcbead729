//! FTP daemons: which processes they are, and for whom they listen (DESIGN §7).
//!
//! The programs keep the set of processes exact from the moment it is right: a child belongs to its
//! parent's daemon, another program or an end takes it out. What they cannot see is found here: who
//! listened on a control port before they did, who holds a connection that a super-server handed on,
//! and which session a process serves.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use anyhow::Context as _;
use aya::maps::MapError;
use ftpfw_common::abi::{
    keys::{ListenerKey, SessionKey},
    policy::port,
    values::Listener,
};
use procfs::{net::TcpNetEntry, process::Process};
use tracing::{debug, error};

use super::{
    group,
    holders::{self, INIT},
};
use crate::kernel::{
    Maps, Wire, clock,
    maps::{GroupMap, ListenerMap, NumberMap},
    ports::Ports,
    sockets::Inquiry,
    tuples::is_missing,
};

/// Only overwrite: the key must be there.
const BPF_EXIST: u64 = 2;
/// Only insert: the key must be new.
const BPF_NOEXIST: u64 = 1;
/// How often processes are looked for again that were started while others were found.
const ROUNDS: usize = 4;
/// Ancestors that are asked whose session they serve: a daemon's helper is not far from it.
const GENERATIONS: usize = 4;

/// The processes of FTP daemons.
pub struct Daemons {
    processes: NumberMap,
    groups: GroupMap,
    daemons: NumberMap,
    listeners: ListenerMap,
    ports: Ports,
    inquiry: Inquiry,
    control: Vec<u16>,
    /// Control ports whose sessions were looked at: whether somebody hands them on to processes that
    /// are not his own.
    handed_on: HashMap<u16, bool>,
}

impl std::fmt::Debug for Daemons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemons")
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

impl Daemons {
    /// Finds who serves these control ports now. The programs that watch processes are attached.
    ///
    /// # Errors
    ///
    /// When a map cannot be opened.
    pub fn new(maps: &Maps, control: Vec<u16>) -> anyhow::Result<Self> {
        let mut daemons = Self {
            processes: maps.processes()?,
            groups: maps.cgroups()?,
            daemons: maps.daemons()?,
            listeners: maps.listeners()?,
            ports: maps.ports()?,
            inquiry: Inquiry::new().context("cannot open netlink")?,
            control,
            handed_on: HashMap::new(),
        };
        daemons.find();
        Ok(daemons)
    }

    /// The ports of control connections.
    #[must_use]
    pub fn control(&self) -> &[u16] {
        &self.control
    }

    /// Whether a port is one of control connections.
    #[must_use]
    pub fn serves(&self, port: u16) -> bool {
        self.control.contains(&port)
    }

    /// Other ports are those of control connections. Daemons that serve none of them are forgotten.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn set_control(&mut self, control: Vec<u16>) -> Result<(), MapError> {
        let gone: Vec<u16> = std::mem::replace(&mut self.control, control)
            .into_iter()
            .filter(|port| !self.serves(*port))
            .collect();
        for port in gone {
            self.forget(port)?;
        }
        self.find();
        Ok(())
    }

    /// A port is none of control connections any more, and a daemon known by it no daemon, unless it
    /// has another one.
    fn forget(&mut self, port: u16) -> Result<(), MapError> {
        let daemon = u32::from(port);
        // Not there: nobody has listened.
        let _not_there = self.daemons.remove(&daemon);
        let mut daemons = self.daemons.iter().filter_map(Result::ok);
        if daemons.any(|(_, other)| other == daemon) {
            return Ok(());
        }
        let processes: Vec<u32> = self
            .processes
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, of)| *of == daemon)
            .map(|(process, _)| process)
            .collect();
        for process in processes {
            match self.processes.remove(&process) {
                // It has ended since.
                Err(error) if !is_missing(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds the processes that listen on control ports, and what belongs to them.
    pub fn find(&mut self) {
        self.handed_on.clear();
        let mut groups: HashMap<u64, u16> = HashMap::new();
        let mut inodes: HashMap<u64, u16> = HashMap::new();
        for socket in holders::sockets(&self.control).filter(holders::listens) {
            inodes.insert(socket.inode, socket.local_address.port());
        }
        let holding = holders::of(&inodes.keys().copied().collect());
        for process in &holding {
            let mut ports: Vec<u16> = holders::inodes_of(process)
                .filter_map(|inode| inodes.get(&inode).copied())
                .collect();
            ports.sort_unstable();
            let Some(&first) = ports.first() else {
                continue;
            };
            for port in ports {
                self.note_daemon(port, first);
            }
            self.add_tree(process, first);
            if let Some(group) = group::of(process) {
                groups.insert(group.id, first);
                group.processes.iter().for_each(|&pid| self.add(pid, first));
            }
        }
        self.note_groups(&groups);
    }

    fn note_groups(&mut self, groups: &HashMap<u64, u16>) {
        let old: Vec<u64> = self.groups.keys().filter_map(Result::ok).collect();
        for id in old.iter().filter(|id| !groups.contains_key(id)) {
            // Already gone is as good.
            let _gone = self.groups.remove(id);
        }
        for (&id, &daemon) in groups {
            let noted = self.groups.insert(id, u32::from(daemon), 0);
            self.complain(noted);
        }
    }

    /// Control connections began. Where a super-server has handed one on, the daemon is who holds it: a
    /// process that is none of the listener's, or was, and runs another program by now.
    ///
    /// One look for all of them: it takes as long as there are processes on the host, and an agent with a
    /// backlog of sessions that have ended already would never catch up.
    pub fn sessions(&mut self, keys: &[SessionKey]) {
        let asked: Vec<_> = keys
            .iter()
            .filter(|key| self.handed_on.get(&key.server_port) != Some(&false))
            .collect();
        if asked.is_empty() {
            return;
        }
        let held: HashMap<u64, SessionKey> = match self.inodes(&asked) {
            Ok(held) => held,
            Err(error) => return debug!("nobody knows who holds sessions: {error}"),
        };
        if held.is_empty() {
            return;
        }
        let holding = holders::of(&held.keys().copied().collect());
        let mut strangers = Vec::new();
        for process in &holding {
            let stranger = !self.knows(process.pid);
            for key in holders::inodes_of(process).filter_map(|inode| held.get(&inode)) {
                // Once is enough: the next look at the same session finds no strangers any more.
                *self.handed_on.entry(key.server_port).or_default() |= stranger;
                if stranger {
                    strangers.push((process, key));
                }
            }
        }
        for (process, key) in strangers {
            for pid in self.add_tree(process, key.server_port) {
                self.admit(pid, key);
            }
        }
    }

    /// Sockets of these sessions; those that are over have none.
    fn inodes(&self, sessions: &[&SessionKey]) -> io::Result<HashMap<u64, SessionKey>> {
        let mut held = HashMap::with_capacity(sessions.len());
        for session in sessions {
            if let Some(inode) = self.inquiry.inode(session)? {
                held.insert(inode, **session);
            }
        }
        Ok(held)
    }

    /// A process that was found a moment ago to serve this session may listen already: nobody saw it
    /// begin, so its client's first SYN was dropped; the next one need not be.
    fn admit(&mut self, pid: i32, session: &SessionKey) {
        // An older one may have listened before the session began.
        let Ok(process) = Process::new(pid) else {
            return;
        };
        if !holders::is_new(&process) {
            return;
        }
        let held: HashSet<u64> = holders::inodes_of(&process).collect();
        for socket in holders::listening().filter(|socket| held.contains(&socket.inode)) {
            let address = socket.local_address;
            let bits = self.ports.get(address.port()).policy();
            if bits & (port::PROTECTED_TCP | port::CONTROL) != port::PROTECTED_TCP {
                continue;
            }
            let key = ListenerKey::new(address.ip().into(), address.port());
            let listener = Listener {
                opened_at: clock::now(),
                session: 0,
                client: session.client,
                daemon: session.server_port.into(),
                admitted: 0,
            };
            if !self.ports.count_listener(address.port()) {
                continue;
            }
            if self
                .listeners
                .insert(Wire(key), Wire(listener), BPF_NOEXIST)
                .is_err()
            {
                self.ports.uncount_listener(address.port());
            }
        }
    }

    /// A process of no daemon that is known listens. If it holds a control connection, a super-server
    /// handed that on, later than the session was looked at: between two programs, a process still runs
    /// the super-server's. Whether it is so; then its listener is its client's.
    pub fn found_late(&mut self, pid: i32) -> bool {
        let Ok(process) = Process::new(pid) else {
            return false;
        };
        if holders::is_super_server(&process) {
            return false;
        }
        let sockets: Vec<_> = holders::sockets(&self.control).collect();
        let Some(session) = sessions_of(&process, &sockets).next() else {
            return false;
        };
        self.handed_on.insert(session.server_port, true);
        for pid in self.add_tree(&process, session.server_port) {
            self.admit(pid, &session);
        }
        true
    }

    fn knows(&self, pid: i32) -> bool {
        u32::try_from(pid).is_ok_and(|process| self.processes.get(&process, 0).is_ok())
    }

    /// A process of a daemon listens. If it serves one session only, nobody else may connect there.
    /// `id` tells the number of a session.
    pub fn narrow(
        &mut self,
        listener: &ListenerKey,
        pid: i32,
        id: impl Fn(&SessionKey) -> Option<u64>,
    ) {
        let Ok(Wire(mut entry)) = self.listeners.get(&Wire(*listener), 0) else {
            return;
        };
        let Some(session) = self.only_session(pid) else {
            return;
        };
        entry.client = session.client;
        entry.session = id(&session).unwrap_or(0);
        // Gone already, by its one connection or its end: as good.
        if let Err(error) = self
            .listeners
            .insert(Wire(*listener), Wire(entry), BPF_EXIST)
        {
            debug!("the listener on port {} is gone: {error}", listener.port);
        }
    }

    /// The session that a process, or one that it descends from, serves alone.
    fn only_session(&self, pid: i32) -> Option<SessionKey> {
        let sockets: Vec<_> = holders::sockets(&self.control).collect();
        let mut pid = pid;
        for _ in 0..GENERATIONS {
            let process = Process::new(pid).ok()?;
            let mut sessions = sessions_of(&process, &sockets);
            if let Some(session) = sessions.next() {
                return sessions.next().is_none().then_some(session);
            }
            pid = holders::parent(pid).filter(|parent| self.knows(*parent))?;
        }
        None
    }

    fn note_daemon(&mut self, port: u16, daemon: u16) {
        let noted = self.daemons.insert(u32::from(port), u32::from(daemon), 0);
        self.complain(noted);
    }

    /// Adds a process and its descendants that run the same program; all that were added.
    fn add_tree(&mut self, root: &Process, daemon: u16) -> HashSet<i32> {
        let program = root.exe().ok();
        let mut known = HashSet::from([root.pid]);
        self.add(root.pid, daemon);
        for _ in 0..ROUNDS {
            let before = known.len();
            for process in procfs::process::all_processes()
                .into_iter()
                .flatten()
                .flatten()
            {
                let is_child = || {
                    let parent = process.stat().map(|stat| stat.ppid);
                    parent.is_ok_and(|parent| known.contains(&parent))
                        && process.exe().ok() == program
                };
                if process.pid > INIT && !known.contains(&process.pid) && is_child() {
                    known.insert(process.pid);
                    self.add(process.pid, daemon);
                }
            }
            if known.len() == before {
                break;
            }
        }
        known
    }

    fn add(&mut self, pid: i32, daemon: u16) {
        if let Ok(process) = u32::try_from(pid) {
            let added = self.processes.insert(process, u32::from(daemon), 0);
            self.complain(added);
        }
    }

    fn complain(&self, result: Result<(), MapError>) {
        if let Err(error) = result {
            error!(
                "the processes of the FTP daemons on {:?} are not all known: {error}",
                self.control
            );
        }
    }
}

/// The control connections that a process holds, of these sockets.
fn sessions_of(process: &Process, sockets: &[TcpNetEntry]) -> impl Iterator<Item = SessionKey> {
    let held: HashSet<u64> = holders::inodes_of(process).collect();
    let held =
        move |socket: &&TcpNetEntry| held.contains(&socket.inode) && !holders::listens(socket);
    sockets.iter().filter(held).map(holders::session_of)
}
