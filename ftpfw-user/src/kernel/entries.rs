//! What is in the maps of many entries, one by one, in little memory.

use ftpfw_common::abi::{
    self,
    keys::{EntitledKey, FlowKey, ListenerKey, PairKey, SessionKey, TupleKey},
    values::{Entitled, Flow, Listener, Session, Tuple},
};
use zerocopy::FromBytes as _;

use super::{Maps, Wire, batch::Entries};

/// The entries of a map of tuples.
pub type TupleEntries = Entries<Wire<TupleKey>, Wire<Tuple>>;

/// A session is copied out of its map as bytes: its atomics make it no plain value.
type SessionBytes = [u8; size_of::<Session>()];

impl Maps {
    /// What is in `ARMED`, expired tuples included.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`]; so with the entries of other maps.
    pub fn armed_entries(&self) -> anyhow::Result<TupleEntries> {
        self.entries(abi::maps::ARMED)
    }

    /// What is in `CLAIMED`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn claimed_entries(&self) -> anyhow::Result<TupleEntries> {
        self.entries(abi::maps::CLAIMED)
    }

    /// What is in `FLOWS`, flows that have been silent for too long included.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn flow_entries(&self) -> anyhow::Result<Entries<Wire<FlowKey>, Wire<Flow>>> {
        self.entries(abi::maps::FLOWS)
    }

    /// What is in `LISTENERS`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn listener_entries(&self) -> anyhow::Result<Entries<Wire<ListenerKey>, Wire<Listener>>> {
        self.entries(abi::maps::LISTENERS)
    }

    /// What is in `ENTITLED`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn entitled_entries(&self) -> anyhow::Result<Entries<Wire<EntitledKey>, Wire<Entitled>>> {
        self.entries(abi::maps::ENTITLED)
    }

    /// What is in `OPAQUE`.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn opaque_entries(&self) -> anyhow::Result<Entries<Wire<PairKey>, u64>> {
        self.entries(abi::maps::OPAQUE)
    }

    /// The control connections that the kernel follows, each once.
    ///
    /// # Errors
    ///
    /// As [`Self::armed`].
    pub fn session_entries(
        &self,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<(SessionKey, Session)>> + use<>> {
        let entries: Entries<Wire<SessionKey>, SessionBytes> = self.entries(abi::maps::SESSIONS)?;
        Ok(entries.map(|entry| {
            let (Wire(key), bytes) = entry?;
            let session = Session::read_from_bytes(&bytes)
                .map_err(|_| anyhow::anyhow!("a session of another size than this ftpfw's"))?;
            Ok((key, session))
        }))
    }
}
