//! The map `IDLE`: who makes a port busy, and who finds it idle. The rules are in
//! [`ftpfw_common::abi::idle`].

use std::{
    os::fd::AsFd,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use ftpfw_common::abi::{
    self,
    idle::{Place, WORDS, asked_to_idle},
    policy::port,
    values::PortEntry,
};

use super::{clock, mapped::Mapped, ports::Ports};

/// Ports that are known to be idle.
#[derive(Debug)]
pub struct Idle {
    words: Mapped<AtomicU64>,
}

impl Idle {
    pub(super) fn new(map: impl AsFd) -> anyhow::Result<Self> {
        let words = Mapped::new(abi::maps::IDLE, map, WORDS)?;
        Ok(Self { words })
    }

    /// Whether a port is known to be idle.
    #[must_use]
    pub fn is_idle(&self, place: Place) -> bool {
        self.words.at(place.word).load(Relaxed) & place.idle() != 0
    }

    /// A port is busy. To be called when that is written down, and before anybody knows of it.
    pub fn busy(&self, place: Place) {
        self.words.at(place.word).fetch_and(!place.both(), SeqCst);
    }

    /// Asks for a port.
    fn ask(&self, place: Place) {
        self.words.at(place.word).fetch_or(place.asked(), SeqCst);
    }

    /// The answer: nothing makes the port busy. It becomes idle, unless somebody was faster.
    fn answer(&self, place: Place) {
        let word = self.words.at(place.word);
        let _busy = word.fetch_update(SeqCst, SeqCst, |word| {
            let asked = word & place.asked();
            (asked != 0).then_some(word & !asked | asked_to_idle(asked))
        });
    }
}

/// Finds ports that are idle. One at a time: it is the agent's, which holds the lock of the pin directory.
#[derive(Debug)]
pub struct Finder {
    ports: Ports,
    flows: Mapped<AtomicU32>,
}

impl Finder {
    pub(super) fn new(ports: Ports, flows: impl AsFd) -> anyhow::Result<Self> {
        let flows = Mapped::new(abi::maps::FLOW_PORTS, flows, 1 << 16)?;
        Ok(Self { ports, flows })
    }

    /// Looks at every port that is not known to be idle.
    pub fn look(&self) {
        (0..=u16::MAX).for_each(|port| self.look_at(port));
    }

    /// Looks at one.
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
        let idle = self.ports.idle();
        if !idle.is_idle(place) && nothing() {
            idle.ask(place);
            // Again: only what is read after it was asked for counts.
            if nothing() {
                idle.answer(place);
            }
        }
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
