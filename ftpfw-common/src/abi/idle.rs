//! Map `IDLE`: where nothing can be let in, a bit each: for TCP ports, for UDP ports, and for tuples by a
//! hash of client and port.
//!
//! What `PORTS` and `FLOW_PORTS` say takes 1 MiB; a scan of all ports waits for memory at every packet.
//! These bits take 16 KiB for a protocol and stay in the cache that is next to the CPU. Those of tuples take
//! 128 KiB, where a look into `ARMED` that finds nothing waits for memory twice.
//!
//! A bit that is 0 costs the look into `PORTS` or `ARMED`. A bit that is 1 where a tuple has been announced
//! would cost a client its SYN, and must never be. Many take bits away, in programs on every CPU and in
//! processes; one alone, the agent, sets them. Each place has two bits in one word, *idle* and *asked*:
//!
//! * Who makes a place busy first writes down what makes it so (count, mark of flows, policy, tuple), then
//!   takes *both* bits away by one atomic operation that is a full barrier, and only then lets anybody know
//!   of it: the reply leaves, listen() returns.
//! * The agent (1) sets *asked*, (2) reads what makes a place busy, (3) where nothing does and *asked* is
//!   still there, replaces it by *idle* with a compare-and-exchange.
//!
//! Bits taken away after (3) are gone before anybody knows. Between (1) and (3), *asked* is missing and (3)
//! leaves the place alone. Before (1), what was written down before that is read in (2).

use core::ops::Range;

use super::keys::TupleKey;
use crate::packet::protocol;

/// Places in one word.
const IN_WORD: u32 = 32;
/// Words of one protocol.
const OF_PROTOCOL: u32 = (1 << 16) / IN_WORD;
/// Places of tuples, as a power of two: with the 65,536 tuples that there are by default at most, a
/// stranger's SYN finds one of eight taken.
const TUPLE_BITS: u32 = 19;

/// The words of tuples.
pub const TUPLES: Range<u32> = 2 * OF_PROTOCOL..2 * OF_PROTOCOL + (1 << TUPLE_BITS) / IN_WORD;
/// Entries of the map.
pub const WORDS: u32 = TUPLES.end;

/// Where two bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the entry; below [`WORDS`].
    pub word: u32,
    bit: u32,
}

impl Place {
    /// Of a TCP port.
    #[inline(always)]
    #[must_use]
    pub const fn tcp(port: u16) -> Self {
        Self::nth(0, port as u32)
    }

    /// Of a UDP port.
    #[inline(always)]
    #[must_use]
    pub const fn udp(port: u16) -> Self {
        Self::nth(OF_PROTOCOL, port as u32)
    }

    /// Of a port of this IP protocol: TCP or UDP.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32, port: u16) -> Self {
        if number == protocol::UDP as u32 {
            Self::udp(port)
        } else {
            Self::tcp(port)
        }
    }

    /// Of a passive tuple, and of those that share its hash: Fibonacci hashing (Knuth, TAOCP 6.4). Who
    /// chooses addresses that collide with a tuple gains a look into `ARMED`.
    #[inline(always)]
    #[must_use]
    pub const fn tuple(key: &TupleKey) -> Self {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let [a, b, c, d] = key.client.words();
        let (network, host) = ((a as u64) << 32 | b as u64, (c as u64) << 32 | d as u64);
        let hash = (network ^ key.server_port as u64).wrapping_mul(GOLDEN) ^ host;
        let hash = (hash ^ (hash >> 32)).wrapping_mul(GOLDEN);
        Self::nth(TUPLES.start, (hash >> (64 - TUPLE_BITS)) as u32)
    }

    #[inline(always)]
    const fn nth(first: u32, number: u32) -> Self {
        Self {
            word: first + number / IN_WORD,
            bit: number % IN_WORD,
        }
    }

    /// The bit *idle*.
    #[inline(always)]
    #[must_use]
    pub const fn idle(self) -> u64 {
        1 << self.bit
    }

    /// Both bits.
    #[inline(always)]
    #[must_use]
    pub const fn both(self) -> u64 {
        self.idle() | asked(self.idle())
    }
}

/// All bits *idle* of a word.
pub const ALL_IDLE: u64 = (1 << IN_WORD) - 1;

/// The bits *asked* of the places of these bits *idle*.
#[inline(always)]
#[must_use]
pub const fn asked(idle: u64) -> u64 {
    idle << IN_WORD
}

/// `word` after the agent's answer: of the places that were `asked` for (their bits *idle*) and still are,
/// those that nothing makes `busy` are idle.
#[must_use]
pub const fn answered(word: u64, asked_for: u64, busy: u64) -> u64 {
    let still = (word >> IN_WORD) & asked_for;
    (word & !asked(asked_for)) | (still & !busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use std::collections::HashSet;

    #[test]
    fn no_two_ports_share_a_bit() {
        let mut seen = HashSet::new();
        for port in 0..=u16::MAX {
            for place in [Place::tcp(port), Place::udp(port)] {
                assert!(place.word < TUPLES.start);
                assert_eq!(place.both().count_ones(), 2);
                assert!(seen.insert((place.word, place.idle())));
            }
        }
        assert_eq!(seen.len(), 2 << 16);
    }

    #[test]
    fn tuples_spread_over_all_places() {
        let mut seen = HashSet::new();
        for client in 0..60_u32 {
            for port in 40_000..41_000 {
                let client = Address::v4((0xac10_0000 + client).to_be_bytes());
                let place = Place::tuple(&TupleKey::passive(client, Address::v4([10; 4]), port));
                assert!(TUPLES.contains(&place.word));
                seen.insert((place.word, place.idle()));
            }
        }
        // By chance alone some 56,700.
        assert!(seen.len() > 50_000, "{} places for 60,000", seen.len());
    }

    #[test]
    fn only_what_is_still_asked_for_is_answered() {
        let word = asked(0b0110) | 0b1000;
        assert_eq!(answered(word, 0b0111, 0b0100), 0b1010);
    }
}
