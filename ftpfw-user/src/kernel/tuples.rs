//! Arming and withdrawing tuples from user space, in step with the programs.

use std::{collections, fmt};

use aya::maps::{Array, HashMap, MapData, MapError};
use ftpfw_common::abi::{
    idle::Place,
    keys::{SessionKey, TupleKey},
    values::{Mode, Tuple},
};

use super::{Wire, clients::Clients, clock, maps::ITERATION_LIMIT, ports::Ports, surplus::Surplus};

pub use super::surplus::LOOKS;

/// Only insert: the key must be new.
const BPF_NOEXIST: u64 = 1;
/// Only overwrite: the key must be there.
const BPF_EXIST: u64 = 2;
/// How long a tuple must have been expired before it is collected, ns. A session may arm the same
/// key again at any moment; so close to the deadline, the collector would race with it.
const COLLECT_AFTER: u64 = 1_000_000_000;

/// A map of tuples.
pub type TupleMap = HashMap<MapData, Wire<TupleKey>, Wire<Tuple>>;

/// Who arms a tuple, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of the session; 0 for none.
    pub session: u64,
    /// How it came to be.
    pub mode: Mode,
    /// The daemon is behind this host, in a container.
    pub forwarded: bool,
}

impl Owner {
    /// A session, or nobody (0), for a daemon of this host.
    #[must_use]
    pub const fn new(session: u64, mode: Mode) -> Self {
        Self {
            session,
            mode,
            forwarded: false,
        }
    }
}

/// What an update of the map of tuples came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arming {
    /// A tuple that was not there before.
    New,
    /// The tuple was armed already; its session and deadline are the new ones.
    Renewed,
    /// The map is full: nothing was armed.
    Full,
}

/// `ARMED` and what must change together with it.
pub struct Tuples {
    armed: TupleMap,
    last_armed: Array<MapData, Wire<TupleKey>>,
    ports: Ports,
    clients: Clients,
    /// Ports whose count is too high.
    off: Surplus<u16>,
}

impl fmt::Debug for Tuples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuples")
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}

impl Tuples {
    pub(super) fn new(
        armed: TupleMap,
        last_armed: Array<MapData, Wire<TupleKey>>,
        ports: Ports,
        clients: Clients,
    ) -> Self {
        Self {
            armed,
            last_armed,
            ports,
            clients,
            off: Surplus::default(),
        }
    }

    /// What each port is, and how many tuples are armed for it.
    #[must_use]
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// How many sessions and tuples each client has.
    #[must_use]
    pub const fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Arms `key` for `lifetime` ns from now.
    ///
    /// # Errors
    ///
    /// Those of the map, except that it is full: see [`Arming::Full`].
    pub fn arm(&mut self, key: TupleKey, owner: Owner, lifetime: u64) -> Result<Arming, MapError> {
        let now = clock::now();
        let until = now.saturating_add(lifetime);
        let tuple = Tuple {
            forwarded: u8::from(owner.forwarded),
            ..Tuple::new(owner.session, owner.mode, now, until)
        };
        if key.is_passive() {
            // So that the programs withdraw it when the listener on that port closes.
            self.last_armed
                .set(u32::from(key.server_port), Wire(key), 0)?;
        }
        self.insert(key, tuple)
    }

    fn insert(&mut self, key: TupleKey, tuple: Tuple) -> Result<Arming, MapError> {
        loop {
            self.count_up(&key);
            let inserted = self.armed.insert(Wire(key), Wire(tuple), BPF_NOEXIST);
            match inserted {
                Ok(()) => self.ports.idle().busy(Place::tuple(&key)),
                Err(_) => self.count_down(&key),
            }
            match inserted {
                Ok(()) => return Ok(Arming::New),
                Err(error) if errno(&error) == Some(nix::libc::E2BIG) => return Ok(Arming::Full),
                Err(error) if errno(&error) != Some(nix::libc::EEXIST) => return Err(error),
                Err(_) => {}
            }
            match self.armed.insert(Wire(key), Wire(tuple), BPF_EXIST) {
                // Claimed or withdrawn by the kernel since: it is new after all.
                Err(error) if errno(&error) == Some(nix::libc::ENOENT) => {}
                result => {
                    self.ports.idle().busy(Place::tuple(&key));
                    return result.map(|()| Arming::Renewed);
                }
            }
        }
    }

    fn count_up(&self, key: &TupleKey) {
        self.clients.count_up(key.client);
        if key.is_passive() {
            self.ports.count_up(key.server_port);
        }
    }

    fn count_down(&self, key: &TupleKey) {
        self.clients.count_down(key.client);
        if key.is_passive() {
            self.ports.count_down(key.server_port);
        }
    }

    /// Removes `key`. Whether it was there: if not, the kernel removed it first and counted.
    ///
    /// # Errors
    ///
    /// Those of the map, except that the key is not there.
    pub fn withdraw(&mut self, key: &TupleKey) -> Result<bool, MapError> {
        match self.armed.remove(&Wire(*key)) {
            Ok(()) => {
                self.count_down(key);
                Ok(true)
            }
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes `key` if it is `session`'s; another session may have armed the same tuple since.
    ///
    /// # Errors
    ///
    /// As [`Self::withdraw`].
    pub fn withdraw_of(&mut self, key: &TupleKey, session: u64) -> Result<bool, MapError> {
        match self.armed.get(&Wire(*key), 0) {
            Ok(Wire(tuple)) if tuple.session == session => self.withdraw(key),
            Ok(_) => Ok(false),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All tuples that are armed now, expired ones included.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn all(&self) -> Result<Vec<(TupleKey, Tuple)>, MapError> {
        entries(&self.armed)
    }

    /// Looks for ports whose count is above the number of their tuples, and takes the difference away
    /// once it was the same for [`LOOKS`] calls in a row: an agent died between counting a tuple and
    /// arming it. Returns these ports. The counts of clients are mended in the same way.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn mend_counts(&mut self) -> Result<Vec<u16>, MapError> {
        let all = self.all()?;
        let mut armed = [0; 1 << 16].to_vec();
        for (key, _) in all.iter().filter(|(key, _)| key.is_passive()) {
            armed[usize::from(key.server_port)] += 1;
        }
        let clients = all.iter().map(|(key, _)| key.client);
        let wrong = self.clients.mend(clients);
        if wrong > 0 {
            tracing::warn!("{wrong} counts of armed tuples of clients were too high");
        }
        let ports = &self.ports;
        let counts = (0..=u16::MAX).zip(armed);
        let wrong = self.off.confirmed(
            counts.map(|(port, armed)| (port, ports.get(port).armed().saturating_sub(armed))),
        );
        for (port, surplus) in &wrong {
            (0..*surplus).for_each(|_| ports.count_down(*port));
        }
        Ok(wrong.into_iter().map(|(port, _)| port).collect())
    }

    /// Removes the tuples whose deadline is over and returns them. The programs never admit
    /// anything by an expired tuple; this only makes room.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn collect_expired(&mut self) -> Result<Vec<(TupleKey, Tuple)>, MapError> {
        let limit = clock::now().saturating_sub(COLLECT_AFTER);
        let mut collected = Vec::new();
        for (key, tuple) in self.all()? {
            if tuple.until < limit && self.withdraw(&key)? {
                collected.push((key, tuple));
            }
        }
        Ok(collected)
    }
}

/// A copy of all entries. Entries that go away meanwhile are left out, and none is there twice.
///
/// # Errors
///
/// Those of the map.
pub fn entries(map: &TupleMap) -> Result<Vec<(TupleKey, Tuple)>, MapError> {
    let mut found = collections::HashMap::new();
    for key in map.keys().take(ITERATION_LIMIT) {
        let key = key?;
        match map.get(&key, 0) {
            Ok(Wire(tuple)) => {
                found.insert(key.0, tuple);
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found.into_iter().collect())
}

/// The connection that a claimed tuple is for.
#[must_use]
pub const fn connection(claimed: &TupleKey) -> SessionKey {
    SessionKey {
        client: claimed.client,
        server: claimed.server,
        client_port: claimed.client_port,
        server_port: claimed.server_port,
    }
}

/// The name of a tuple's mode.
#[must_use]
pub fn mode_name(tuple: &Tuple) -> &'static str {
    Mode::from_u8(tuple.mode).map_or("unknown", Mode::name)
}

/// Whether a map operation failed because the key is not there.
#[must_use]
pub fn is_missing(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound) || errno(error) == Some(nix::libc::ENOENT)
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}
