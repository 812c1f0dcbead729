//! IP addresses as the maps hold them.

use core::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An IP address of either family: 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`.
///
/// One form for both families is what the kernel's dual-stack sockets use too (RFC 4291 §2.5.5.2),
/// so a v4 client of a v6 socket and of a v4 socket is the same client.
///
/// Kept as four words, as the kernel keeps it (`struct in6_addr`): BPF copies and compares words.
#[derive(Clone, Copy, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Address {
    /// The 16 bytes in memory order, four at a time.
    words: [u32; 4],
}

/// `::ffff:0:0/96` in memory order.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// `0.0.0.0` and `::` are both read as this one: "any address".
    pub const UNSPECIFIED: Self = Self { words: [0; 4] };

    /// The v4-mapped form of four octets in network order.
    #[inline(always)]
    #[must_use]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self::v4_word(u32::from_ne_bytes(octets))
    }

    /// The v4-mapped form of four octets as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub const fn v4_word(word: u32) -> Self {
        Self {
            words: [0, 0, MAPPED, word],
        }
    }

    /// The address of 16 octets in network order.
    #[inline(always)]
    #[must_use]
    pub const fn v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self::from_words([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
        ])
    }

    /// The address whose 16 octets lie in memory as these words do.
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self { words }
    }

    /// The 16 octets as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        self.words
    }

    /// The 16 octets in network order.
    #[must_use]
    pub fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (octets, word) in octets.chunks_exact_mut(4).zip(self.words) {
            octets.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }

    /// Whether this is an IPv4 address in its mapped form.
    #[inline(always)]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == MAPPED
    }

    /// The four octets of a v4-mapped address; `None` for any other.
    #[must_use]
    pub const fn to_v4(self) -> Option<[u8; 4]> {
        if self.is_v4() {
            Some(self.words[3].to_ne_bytes())
        } else {
            None
        }
    }

    /// Whether this is `::` or `0.0.0.0`: what a listener on every address is bound to.
    #[inline(always)]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        let [a, b, c, d] = self.words;
        a == 0 && b == 0 && d == 0 && (c == 0 || c == MAPPED)
    }
}

/// Word by word: a derived comparison of arrays is a call to `bcmp`, which BPF does not have.
impl PartialEq for Address {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.words[3] == other.words[3]
            && self.words[2] == other.words[2]
            && self.words[1] == other.words[1]
            && self.words[0] == other.words[0]
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.octets().cmp(&other.octets())
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address.to_v4() {
            Some(octets) => Self::V4(Ipv4Addr::from(octets)),
            None => Self::V6(Ipv6Addr::from(address.octets())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_round_trip() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "255.255.255.255",
            "::",
            "::1",
            "fd77:1::2",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(IpAddr::from(Address::from(address)), address);
            assert_eq!(Address::from(address).is_v4(), address.is_ipv4());
            assert_eq!(
                Address::from(address).is_unspecified(),
                address.is_unspecified()
            );
        }
    }
}
