//! How many sessions and armed tuples each client has: the map `CLIENTS`.
//!
//! A table of counts with two rows (a count-min sketch, Cormode and Muthukrishnan 2005): a client has a
//! place in each, found by a hash with a secret seed, and is counted in both. What it has is at most the
//! smaller of the two counts; only who shares both places with a client that has many, one pair in
//! four thousand million, is taken for it. No entry need be made or removed, none can be refused for
//! want of room, and both sides change a count by adding to it.

use crate::Address;

/// Places in each row; a power of two.
const ROW: u32 = 1 << 16;

/// Entries of the map.
pub const PLACES: u32 = 2 * ROW;

/// What one place counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub u64);

impl Count {
    /// What to add to the word for one more armed tuple.
    pub const ONE_TUPLE: u64 = 1;
    /// What to add to the word for one more session.
    pub const ONE_SESSION: u64 = 1 << 32;

    /// Armed tuples.
    #[inline(always)]
    #[must_use]
    pub const fn tuples(self) -> u32 {
        self.0 as u32
    }

    /// Sessions.
    #[inline(always)]
    #[must_use]
    pub const fn sessions(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The two places of a client: an IPv4 address, or the /64 of an IPv6 one, all of which one client may
/// have (RFC 4291 §2.5.4, RFC 7934).
#[inline(always)]
#[must_use]
pub const fn places(client: Address, seed: u64) -> [u32; 2] {
    let [a, b, _, d] = client.words();
    let prefix = if client.is_v4() {
        d as u64
    } else {
        (a as u64) << 32 | b as u64
    };
    let hash = mix(prefix ^ seed);
    [
        hash as u32 & (ROW - 1),
        ROW + ((hash >> 32) as u32 & (ROW - 1)),
    ]
}

/// The finaliser of MurmurHash3: each bit of the input changes half of the output's.
#[inline(always)]
const fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 0x0123_4567_89ab_cdef;

    fn v6(last: u8, network: u8) -> Address {
        let mut octets = [0; 16];
        (octets[0], octets[7], octets[15]) = (0xfd, network, last);
        Address::v6(octets)
    }

    #[test]
    fn a_client_of_ipv6_is_a_network_of_64_bits() {
        assert_eq!(places(v6(1, 0), SEED), places(v6(2, 0), SEED));
        assert_ne!(places(v6(1, 0), SEED), places(v6(1, 1), SEED));
    }

    #[test]
    fn addresses_are_spread_and_the_seed_decides() {
        let mut seen = std::collections::HashSet::new();
        for number in 0..=u16::MAX {
            let [c, d] = number.to_be_bytes();
            let client = Address::v4([10, 0, c, d]);
            let places = places(client, SEED);
            assert!(places[0] < ROW && (ROW..PLACES).contains(&places[1]));
            seen.insert(places);
        }
        assert_eq!(seen.len(), 1 << 16, "nobody shares both places");
        let client = Address::v4([10, 0, 0, 1]);
        assert_ne!(places(client, SEED), places(client, SEED + 1));
    }

    #[test]
    fn the_two_counts_do_not_touch() {
        let count = Count(3 * Count::ONE_SESSION + 5 * Count::ONE_TUPLE);
        assert_eq!((count.sessions(), count.tuples()), (3, 5));
    }
}
