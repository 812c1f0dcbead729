//! What is of no use any more, as two looks in a row found.
//!
//! Counts of opaque sessions that have come down to zero: the programs leave them in their maps, as to remove
//! one while the next session of the client begins would take that one's count along. Sessions that have
//! ended, and whose end no tracepoint told: those of daemons behind this host, whose sockets are elsewhere.
//! Claimed tuples without a connection: should the kernel ever fail to remove one.

use std::{collections::HashSet, hash::Hash, io, mem};

use ftpfw_common::{
    abi::{
        keys::{EntitledKey, PairKey, SessionKey, TupleKey},
        values::{Session, Tuple},
    },
    control::State,
};

use super::{
    Maps, Wire,
    maps::{EntitledMap, OpaqueMap},
    sockets::Inquiry,
    tuples::{self, is_missing},
};

/// Collects them.
#[derive(Debug)]
pub struct Leftovers {
    entitled: EntitledMap,
    opaque: OpaqueMap,
    /// At zero when they were looked at last.
    idle: (HashSet<EntitledKey>, HashSet<PairKey>),
    /// Sessions that had ended.
    ended: HashSet<(SessionKey, u64)>,
    /// Tuples that were claimed, and when.
    claimed: HashSet<(TupleKey, u64)>,
    inquiry: Inquiry,
}

impl Leftovers {
    /// Collects from these maps.
    ///
    /// # Errors
    ///
    /// When one cannot be opened, or netlink cannot.
    pub fn new(maps: &Maps) -> anyhow::Result<Self> {
        Ok(Self {
            entitled: maps.entitled()?,
            opaque: maps.opaque()?,
            idle: Default::default(),
            ended: HashSet::new(),
            claimed: HashSet::new(),
            inquiry: Inquiry::new()?,
        })
    }

    /// Whether the kernel tells which connections there are; otherwise neither sessions nor tuples are
    /// collected.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn sees_connections(&self) -> io::Result<()> {
        self.inquiry.is_answered()
    }

    /// Removes what is at zero now and was so the last time. A client that comes back in the microseconds
    /// between the look and the removal, after all that time, would have to log in again.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn collect(&mut self, maps: &Maps) -> anyhow::Result<()> {
        let entitled = maps.entitled_entries()?;
        let entitled = entitled.map(|it| it.map(|(Wire(key), Wire(it))| (key, it.sessions)));
        for key in stale(&mut self.idle.0, entitled)? {
            ignore_missing(self.entitled.remove(&Wire(key)))?;
        }
        let opaque = maps.opaque_entries()?;
        let opaque = opaque.map(|it| it.map(|(Wire(key), count)| (key, count)));
        for key in stale(&mut self.idle.1, opaque)? {
            ignore_missing(self.opaque.remove(&Wire(key)))?;
        }
        Ok(())
    }

    /// The sessions that have ended, and had when this was called last, and have no connection here.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell which connections there are; so with [`Self::unfinished`].
    pub fn ended(&mut self, sessions: &[(SessionKey, Session)]) -> io::Result<Vec<SessionKey>> {
        let look = sessions.iter().map(|(key, session)| {
            let going_on = !session.shared.state().has(State::ENDED);
            Ok(((*key, session.id), u64::from(going_on)))
        });
        let mut ended = Vec::new();
        for (key, _) in stale(&mut self.ended, look)? {
            if self.is_over(&key)? {
                ended.push(key);
            }
        }
        Ok(ended)
    }

    /// The claimed tuples of this host's daemons that were there when this was called last, and have no
    /// connection.
    ///
    /// # Errors
    ///
    /// As [`Self::ended`].
    pub fn unfinished(&mut self, claimed: &[(TupleKey, Tuple)]) -> io::Result<Vec<TupleKey>> {
        let own = claimed.iter().filter(|(_, tuple)| tuple.forwarded == 0);
        let look = own.map(|(key, tuple)| Ok(((*key, tuple.until), 0)));
        let mut unfinished = Vec::new();
        for (key, _) in stale(&mut self.claimed, look)? {
            if self.is_over(&tuples::connection(&key))? {
                unfinished.push(key);
            }
        }
        Ok(unfinished)
    }

    fn is_over(&self, connection: &SessionKey) -> io::Result<bool> {
        match self.inquiry.exists(connection) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
            exists => exists.map(|exists| !exists),
        }
    }
}

fn ignore_missing(removed: Result<(), aya::maps::MapError>) -> anyhow::Result<()> {
    match removed {
        Err(error) if !is_missing(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The keys that are at zero and were so before; `before` becomes all others that are at zero. Where the
/// programs cannot stop there (`ftpfw-ebpf/src/tally.rs`), below zero is zero too.
fn stale<K: Copy + Eq + Hash>(
    before: &mut HashSet<K>,
    counts: impl Iterator<Item = io::Result<(K, u64)>>,
) -> io::Result<Vec<K>> {
    let (idle, mut stale) = (mem::take(before), Vec::new());
    for entry in counts {
        match entry? {
            (_, count) if count.cast_signed() > 0 => {}
            (key, _) if idle.contains(&key) => stale.push(key),
            (key, _) => drop(before.insert(key)),
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_zero_twice_in_a_row_is_stale() {
        let mut before = HashSet::new();
        let mut look = |counts: &[(u32, u64)]| {
            stale(&mut before, counts.iter().copied().map(Ok)).expect("no error")
        };
        assert!(look(&[(1, 0), (2, 3), (3, 0)]).is_empty());
        assert_eq!(look(&[(1, 0), (2, 0), (3, 1)]), [1]);
        // Key 2 is gone, key 3 was in use.
        assert!(look(&[(3, 0)]).is_empty());
        assert_eq!(look(&[(3, 0)]), [3]);
        // It begins anew.
        assert!(look(&[(3, 0)]).is_empty());
        // Below zero.
        assert!(look(&[(4, u64::MAX)]).is_empty());
        assert_eq!(look(&[(4, u64::MAX)]), [4]);
    }
}
