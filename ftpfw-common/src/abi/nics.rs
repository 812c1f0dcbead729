//! Values of the map `NICS`.

use crate::reason::Nic;

/// How an interface stands to protected ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has nothing to do with them.
    Apart,
    /// It is one.
    Protected(Nic),
    /// It stands on one: what comes in by it came in by that, with the tag of a VLAN (IEEE 802.1Q), 0 for none.
    Above {
        /// The one below.
        nic: Nic,
        /// Number of the VLAN, 12 bits.
        vlan: u16,
    },
    /// It stands on several, or on one in several ways.
    AboveSeveral,
}

impl Standing {
    /// Those of [`Nic`] below say which.
    const ABOVE: u32 = Nic::COUNT;
    const SEVERAL: u32 = Nic::COUNT << 1;
    const VLAN_SHIFT: u32 = 16;
    const VLAN_MASK: u32 = 0xfff;

    /// As the map has it.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Apart => 0,
            Self::Protected(nic) => nic.0,
            Self::Above { nic, vlan } => {
                nic.0 | Self::ABOVE | (vlan as u32 & Self::VLAN_MASK) << Self::VLAN_SHIFT
            }
            Self::AboveSeveral => Self::SEVERAL,
        }
    }

    /// Reads what the map has.
    #[inline(always)]
    #[must_use]
    pub const fn from_u32(value: u32) -> Self {
        if value == 0 {
            Self::Apart
        } else if value & Self::SEVERAL != 0 {
            Self::AboveSeveral
        } else if value & Self::ABOVE != 0 {
            Self::Above {
                nic: Nic(value & (Self::ABOVE - 1)),
                vlan: (value >> Self::VLAN_SHIFT & Self::VLAN_MASK) as u16,
            }
        } else {
            Self::Protected(Nic(value))
        }
    }

    /// Whether a packet that came in by such an interface turns round: it leaves by the protected one `nic`, with
    /// the tag of `vlan` (0: none). Between two VLANs of one NIC it is routed.
    #[inline(always)]
    #[must_use]
    pub const fn turns_round(self, nic: Nic, vlan: u16) -> bool {
        match self {
            Self::Apart => false,
            Self::Protected(_) | Self::AboveSeveral => true,
            Self::Above { nic: by, vlan: tag } => by.0 == nic.0 && tag == vlan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_keeps_what_it_is_given() {
        for standing in [
            Standing::Apart,
            Standing::Protected(Nic(1)),
            Standing::Protected(Nic(Nic::COUNT - 1)),
            Standing::Above {
                nic: Nic(15),
                vlan: 0,
            },
            Standing::Above {
                nic: Nic(1),
                vlan: 4094,
            },
            Standing::AboveSeveral,
        ] {
            assert_eq!(Standing::from_u32(standing.to_u32()), standing);
        }
    }

    #[test]
    fn only_the_way_back_turns_round() {
        let above = |vlan| Standing::Above { nic: Nic(1), vlan };
        for (standing, nic, vlan, turns) in [
            (Standing::Apart, 1, 0, false),
            (Standing::Protected(Nic(2)), 1, 0, true),
            (Standing::AboveSeveral, 1, 7, true),
            (above(0), 1, 0, true),
            (above(0), 2, 0, false),
            (above(5), 1, 5, true),
            (above(5), 1, 6, false),
            (above(5), 1, 0, false),
            (above(5), 2, 5, false),
        ] {
            assert_eq!(
                standing.turns_round(Nic(nic), vlan),
                turns,
                "{standing:?} {nic} {vlan}"
            );
        }
    }
}
