//! Interfaces on top of each other: VLANs, bridges, bonds. What comes in by the lowest, the kernel says came in by
//! the uppermost (`__netif_receive_skb_core` in net/core/dev.c sets `skb_iif` anew at each).

use std::collections::{BTreeSet, HashMap};

use rtnetlink::packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage,
};

use super::nic;

/// An interface, and how packets get to it from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stacked {
    /// Its index.
    pub index: u32,
    /// The interface that it stands on: of a VLAN, say. In the same network namespace.
    pub below: Option<u32>,
    /// The number of its VLAN.
    vlan: Option<u16>,
    /// It is a bridge that gives and takes tags.
    retags: bool,
    /// The bridge, bond or VRF that it is part of.
    controller: Option<u32>,
}

/// How packets of the lowest interfaces get to one above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// From which, by index.
    pub lowest: BTreeSet<u32>,
    /// With which tag there: the number of a VLAN, 0 for none. `None`: with one or another, or with two at once.
    pub tag: Option<u16>,
}

impl Stacked {
    /// What netlink says of an interface.
    #[must_use]
    pub fn read(link: &LinkMessage) -> Self {
        let mut read = Self {
            index: link.header.index,
            ..Self::default()
        };
        let (mut stands, mut elsewhere) = (false, false);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Link(index) => read.below = Some(*index),
                LinkAttribute::Controller(index) => read.controller = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        match info {
                            LinkInfo::Kind(kind) => stands = stands_on_another(kind),
                            LinkInfo::Data(InfoData::Vlan(vlan)) => read.vlan = number(vlan),
                            LinkInfo::Data(InfoData::Bridge(bridge)) => {
                                read.retags = bridge.contains(&InfoBridge::VlanFiltering(true));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if !stands || elsewhere {
            read.below = None;
        }
        read
    }

    /// Where packets get next, by index, and how: to this interface from the one below, and from it to its
    /// controller. `to`: how they get to an interface.
    fn next(&self, to: impl Fn(u32) -> Option<Way>) -> [Option<(u32, Way)>; 2] {
        let from_below = self.below.and_then(&to).map(|mut way| {
            if let Some(vlan) = self.vlan {
                way.tag = (way.tag == Some(0)).then_some(vlan);
            }
            way
        });
        [
            from_below.map(|way| (self.index, way)),
            self.controller.zip(to(self.index)),
        ]
    }
}

/// Whether frames go up from the linked interface as they are. The link of a veth is its other end, that of a
/// tunnel what its packets travel by.
const fn stands_on_another(kind: &InfoKind) -> bool {
    matches!(
        kind,
        InfoKind::Vlan | InfoKind::MacVlan | InfoKind::IpVlan | InfoKind::MacSec | InfoKind::Dsa
    )
}

fn number(vlan: &[InfoVlan]) -> Option<u16> {
    vlan.iter().find_map(|it| match it {
        InfoVlan::Id(number) => Some(*number),
        _ => None,
    })
}

/// All interfaces of this network namespace.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn all() -> anyhow::Result<Vec<Stacked>> {
    Ok(nic::links().await?.iter().map(Stacked::read).collect())
}

/// Those that stand on some of `lowest`, directly or not, by index.
#[must_use]
pub fn above(lowest: &[u32], all: &[Stacked]) -> HashMap<u32, Way> {
    let mut ways: HashMap<u32, Way> = HashMap::new();
    // Each round but the last finds something: of an interface one more below, or that its tag is not known.
    for _ in 0..=all.len() * (lowest.len() + 1) {
        let before = ways.clone();
        for interface in all {
            let to = |index: u32| {
                let own = lowest.contains(&index).then(|| Way {
                    lowest: BTreeSet::from([index]),
                    tag: Some(0),
                });
                join(own, before.get(&index).cloned())
            };
            for (index, way) in interface.next(to).into_iter().flatten() {
                let both = join(ways.remove(&index), Some(way));
                ways.extend(both.map(|way| (index, way)));
            }
        }
        for bridge in all.iter().filter(|it| it.retags) {
            ways.entry(bridge.index).and_modify(|way| way.tag = None);
        }
        if ways == before {
            break;
        }
    }
    ways
}

fn join(one: Option<Way>, other: Option<Way>) -> Option<Way> {
    let (mut one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    one.tag = one.tag.filter(|_| one.tag == other.tag);
    one.lowest.extend(other.lowest);
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32) -> Stacked {
        Stacked {
            index,
            ..Stacked::default()
        }
    }

    fn vlan(index: u32, below: u32, number: u16) -> Stacked {
        Stacked {
            below: Some(below),
            vlan: Some(number),
            ..interface(index)
        }
    }

    const fn in_a(controller: u32, interface: Stacked) -> Stacked {
        Stacked {
            controller: Some(controller),
            ..interface
        }
    }

    fn found(lowest: &[u32], all: &[Stacked]) -> Vec<(u32, Way)> {
        let mut found: Vec<_> = above(lowest, all).into_iter().collect();
        found.sort_unstable_by_key(|(index, _)| *index);
        found
    }

    fn from<const N: usize>(lowest: [u32; N], tag: Option<u16>) -> Way {
        Way {
            lowest: lowest.into(),
            tag,
        }
    }

    #[test]
    fn whatever_stands_on_a_protected_one_is_found() {
        let all = [
            // A bridge, of which a VLAN is part, of a bond, of which eth0 is part.
            interface(6),
            in_a(6, vlan(5, 4, 10)),
            interface(4),
            in_a(4, interface(2)),
            // The bridge of containers, and one of them.
            interface(7),
            in_a(7, interface(8)),
            // Of another interface a VLAN, and one in that.
            interface(3),
            vlan(9, 3, 20),
            vlan(11, 9, 30),
        ];
        let of_bond = [
            (4, from([2], Some(0))),
            (5, from([2], Some(10))),
            (6, from([2], Some(10))),
        ];
        assert_eq!(found(&[2], &all), of_bond);
        let in_vlan = [(9, from([3], Some(20))), (11, from([3], None))];
        assert_eq!(found(&[3], &all), in_vlan);
        assert_eq!(found(&[8], &all), [(7, from([8], Some(0)))]);
        assert!(found(&[6], &all).is_empty() && found(&[], &all).is_empty());
    }

    #[test]
    fn of_several_ways_all_count() {
        let all = [
            in_a(4, interface(2)),
            in_a(4, interface(3)),
            vlan(5, 4, 10),
            in_a(7, vlan(6, 2, 20)),
            in_a(7, vlan(8, 2, 21)),
        ];
        let both = found(&[2, 3], &all);
        assert!(both.contains(&(4, from([2, 3], Some(0)))));
        assert!(both.contains(&(5, from([2, 3], Some(10)))));
        assert!(both.contains(&(6, from([2], Some(20)))));
        assert!(both.contains(&(7, from([2], None))));
    }

    #[test]
    fn behind_a_bridge_that_retags_any_tag_will_do() {
        let bridge = Stacked {
            retags: true,
            ..interface(4)
        };
        let all = [bridge, in_a(4, interface(2)), vlan(5, 4, 10)];
        let expected = [(4, from([2], None)), (5, from([2], None))];
        assert_eq!(found(&[2], &all), expected);
    }

    #[test]
    fn a_circle_comes_to_an_end() {
        let all = [vlan(2, 3, 1), vlan(3, 2, 1)];
        assert_eq!(found(&[2], &all).len(), 2);
    }
}
