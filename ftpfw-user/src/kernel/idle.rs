//! The map `IDLE`: who makes a place busy, and who finds it idle. The rules are in
//! [`ftpfw_common::abi::idle`].

use std::{
    collections::HashMap,
    os::fd::AsFd,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use aya::maps::MapData;
use ftpfw_common::abi::{
    self,
    idle::{ALL_IDLE, Place, TUPLES, WORDS, answered, asked},
    policy::port,
    values::PortEntry,
};

use super::{Wire, batch::Entries, clock, entries::TupleEntries, mapped::Mapped, ports::Ports};

/// What is known to be idle.
#[derive(Debug)]
pub struct Idle {
    words: Mapped<AtomicU64>,
}

impl Idle {
    pub(super) fn new(map: impl AsFd) -> anyhow::Result<Self> {
        let words = Mapped::new(abi::maps::IDLE, map, WORDS)?;
        Ok(Self { words })
    }

    /// Whether a place is known to be idle.
    #[must_use]
    pub fn is_idle(&self, place: Place) -> bool {
        self.words.at(place.word).load(Relaxed) & place.idle() != 0
    }

    /// A place is busy. To be called when that is written down, and before anybody knows of it.
    pub fn busy(&self, place: Place) {
        self.words.at(place.word).fetch_and(!place.both(), SeqCst);
    }

    /// No place is known to be idle. For programs that do not tell when one gets busy.
    pub(super) fn forget_all(&self) {
        (0..WORDS).for_each(|word| self.words.at(word).store(0, SeqCst));
    }

    /// Asks for places, given by their bits *idle*.
    fn ask(&self, word: u32, places: u64) {
        self.words.at(word).fetch_or(asked(places), SeqCst);
    }

    /// The answer: of those that were asked for, which are `busy`. The others become idle, unless somebody
    /// was faster.
    fn answer(&self, word: u32, places: u64, busy: u64) {
        let answer = |word| Some(answered(word, places, busy));
        let _always = self.words.at(word).fetch_update(SeqCst, SeqCst, answer);
    }

    /// Places of a word that are not known to be idle, by their bits *idle*.
    fn unknown(&self, word: u32) -> u64 {
        !self.words.at(word).load(Relaxed) & ALL_IDLE
    }
}

/// Finds what is idle. One at a time: it is the agent's, which holds the lock of the pin directory.
#[derive(Debug)]
pub struct Finder {
    ports: Ports,
    flows: Mapped<AtomicU32>,
    armed: MapData,
}

impl Finder {
    pub(super) fn new(ports: Ports, flows: impl AsFd, armed: MapData) -> anyhow::Result<Self> {
        let flows = Mapped::new(abi::maps::FLOW_PORTS, flows, 1 << 16)?;
        Ok(Self {
            ports,
            flows,
            armed,
        })
    }

    /// Looks at everything that is not known to be idle.
    ///
    /// # Errors
    ///
    /// When the map of tuples cannot be read; ports have been looked at then.
    pub fn look(&self) -> anyhow::Result<()> {
        (0..=u16::MAX).for_each(|port| self.look_at(port));
        self.look_at_tuples()
    }

    /// Looks at one port.
    pub fn look_at(&self, port: u16) {
        self.settle(Place::tcp(port), || {
            self.ports.get(port).refuses_every_syn() && !self.may_have_flows(port)
        });
        self.settle(Place::udp(port), || {
            port::closes_udp(self.ports.get(port).policy()) && !self.may_have_flows(port)
        });
    }

    /// `nothing` reads what could make the port busy.
    fn settle(&self, place: Place, nothing: impl Fn() -> bool) {
        let (idle, bit) = (self.ports.idle(), place.idle());
        if !idle.is_idle(place) && nothing() {
            idle.ask(place.word, bit);
            // Again: only what is read after it was asked for counts.
            idle.answer(place.word, bit, if nothing() { 0 } else { bit });
        }
    }

    /// Looks at the places of tuples. An entry that is armed before the first question, and stays, is read:
    /// the map is gone through bucket by bucket.
    ///
    /// # Errors
    ///
    /// When the map of tuples cannot be read.
    pub fn look_at_tuples(&self) -> anyhow::Result<()> {
        let idle = self.ports.idle();
        let unknown: HashMap<u32, u64> = TUPLES
            .map(|word| (word, idle.unknown(word)))
            .filter(|(_, places)| *places != 0)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for (word, places) in &unknown {
            idle.ask(*word, *places);
        }
        let mut busy: HashMap<u32, u64> = HashMap::new();
        let entries: TupleEntries = Entries::new(&self.armed)?;
        for entry in entries {
            let (Wire(key), _) = entry?;
            let place = Place::tuple(&key);
            *busy.entry(place.word).or_default() |= place.idle();
        }
        for (word, places) in unknown {
            idle.answer(word, places, busy.get(&word).copied().unwrap_or(0));
        }
        Ok(())
    }

    fn may_have_flows(&self, port: u16) -> bool {
        let until = self.flows.at(port.into()).load(SeqCst);
        until > 0 && u64::from(until) > clock::now() >> abi::FLOW_PORTS_SHIFT
    }
}

/// Whether a port of this policy may be found idle, for TCP and for UDP.
pub(super) const fn may_be_idle(entry: PortEntry) -> [bool; 2] {
    let bits = entry.policy();
    [
        PortEntry::new(0, bits).refuses_every_syn(),
        port::closes_udp(bits),
    ]
}
