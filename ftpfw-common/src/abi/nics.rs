//! Values of the map `NICS`.

use crate::reason::Nic;

/// How an interface stands to protected ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has nothing to do with them.
    Apart,
    /// It is one.
    Protected(Nic),
    /// It stands on some: what comes in by it came in by one of those.
    Above {
        /// Which: of each its [`Nic::bit`].
        nics: u16,
        /// The tag that it had there (IEEE 802.1Q): the number of a VLAN, 0 for none, or [`ANY_TAG`].
        tag: u16,
    },
}

/// Nobody knows which tag: the number of no VLAN.
pub const ANY_TAG: u16 = 0xfff;

impl Standing {
    const SHIFT: u32 = 16;

    /// As the map has it.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Apart => 0,
            Self::Protected(nic) => nic.0,
            Self::Above { nics, tag } => (nics as u32) << Self::SHIFT | tag as u32,
        }
    }

    /// Reads what the map has.
    #[inline(always)]
    #[must_use]
    pub const fn from_u32(value: u32) -> Self {
        let nics = (value >> Self::SHIFT) as u16;
        if nics != 0 {
            Self::Above {
                nics,
                tag: value as u16,
            }
        } else if value != 0 {
            Self::Protected(Nic(value))
        } else {
            Self::Apart
        }
    }

    /// Whether a packet that came in by such an interface turns round: it leaves by the protected one `nic`, by
    /// which it came, with the tag that it had. Between two VLANs of one NIC it is routed.
    #[inline(always)]
    #[must_use]
    pub const fn turns_round(self, nic: Nic, tag: u16) -> bool {
        match self {
            Self::Apart => false,
            Self::Protected(_) => true,
            Self::Above { nics, tag: had } => {
                let same = had == tag || had == ANY_TAG || tag == ANY_TAG;
                nics & nic.bit() != 0 && same
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_keeps_what_it_is_given() {
        let above = |nics, tag| Standing::Above { nics, tag };
        for standing in [
            Standing::Apart,
            Standing::Protected(Nic(1)),
            Standing::Protected(Nic(Nic::COUNT - 1)),
            above(1 << 1, 0),
            above(1 << 15 | 1 << 1, 4094),
            above(0xfffe, ANY_TAG),
        ] {
            assert_eq!(Standing::from_u32(standing.to_u32()), standing);
        }
    }

    #[test]
    fn only_the_way_back_turns_round() {
        let above = |tag| Standing::Above { nics: 0b1010, tag };
        for (standing, nic, tag, turns) in [
            (Standing::Apart, 1, 0, false),
            (Standing::Protected(Nic(2)), 1, 0, true),
            (above(0), 1, 0, true),
            (above(0), 3, 0, true),
            (above(0), 2, 0, false),
            (above(5), 1, 5, true),
            (above(5), 1, 6, false),
            (above(5), 1, 0, false),
            (above(5), 1, ANY_TAG, true),
            (above(5), 2, 5, false),
            (above(ANY_TAG), 1, 6, true),
            (above(ANY_TAG), 2, 6, false),
        ] {
            let found = standing.turns_round(Nic(nic), tag);
            assert_eq!(found, turns, "{standing:?} {nic} {tag}");
        }
    }
}
