//! Map `IDLE`: ports on which nothing can be let in, a bit each.
//!
//! What `PORTS` and `FLOW_PORTS` say takes 768 KiB; a scan of all ports waits for memory at every packet.
//! These bits take 16 KiB for a protocol and stay in the cache that is next to the CPU.
//!
//! A bit that is 0 costs the look into `PORTS`. A bit that is 1 where a tuple has been announced would
//! cost a client its SYN, and must never be. Many take bits away, in programs on every CPU and in processes;
//! one alone, the agent, sets them. Each port has two bits in one word, *idle* and *asked*:
//!
//! * Who makes a port busy first writes down what makes it so (count, mark of flows, policy), then takes
//!   *both* bits away by one atomic operation that is a full barrier, and only then lets anybody know of
//!   it: the reply leaves, listen() returns.
//! * The agent (1) sets *asked*, (2) reads what makes a port busy, (3) where nothing does and *asked* is
//!   still there, replaces it by *idle* with a compare-and-exchange.
//!
//! Bits taken away after (3) are gone before anybody knows. Between (1) and (3), *asked* is missing and (3)
//! leaves the port alone. Before (1), what was written down before that is read in (2).

use crate::packet::protocol;

/// Ports in one word.
const IN_WORD: u32 = 32;
/// Words of one protocol.
const OF_PROTOCOL: u32 = (1 << 16) / IN_WORD;
/// Entries of the map.
pub const WORDS: u32 = 2 * OF_PROTOCOL;

/// Where the two bits of a port are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the entry; below [`WORDS`].
    pub word: u32,
    bit: u32,
}

impl Place {
    /// Those of a TCP port.
    #[inline(always)]
    #[must_use]
    pub const fn tcp(port: u16) -> Self {
        Self {
            word: port as u32 / IN_WORD,
            bit: port as u32 % IN_WORD,
        }
    }

    /// Those of a UDP port.
    #[inline(always)]
    #[must_use]
    pub const fn udp(port: u16) -> Self {
        let Self { word, bit } = Self::tcp(port);
        Self {
            word: word + OF_PROTOCOL,
            bit,
        }
    }

    /// Those of a port of this IP protocol: TCP or UDP.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32, port: u16) -> Self {
        if number == protocol::UDP as u32 {
            Self::udp(port)
        } else {
            Self::tcp(port)
        }
    }

    /// The bit *idle*.
    #[inline(always)]
    #[must_use]
    pub const fn idle(self) -> u64 {
        1 << self.bit
    }

    /// The bit *asked*.
    #[inline(always)]
    #[must_use]
    pub const fn asked(self) -> u64 {
        self.idle() << IN_WORD
    }

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn both(self) -> u64 {
        self.idle() | self.asked()
    }
}

/// Of the bits *asked* in `word`, the bits *idle* of the same ports.
#[must_use]
pub const fn asked_to_idle(word: u64) -> u64 {
    word >> IN_WORD
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_ports_share_a_bit() {
        let mut seen = HashSet::new();
        for port in 0..=u16::MAX {
            for place in [Place::tcp(port), Place::udp(port)] {
                assert!(place.word < WORDS);
                assert_eq!(asked_to_idle(place.asked()), place.idle());
                assert_eq!(place.both().count_ones(), 2);
                assert!(seen.insert((place.word, place.idle())));
            }
        }
        assert_eq!(seen.len(), 2 << 16);
    }
}
