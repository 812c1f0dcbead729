//! Interfaces on top of each other: VLANs, bridges, bonds. What comes in by the lowest, the kernel says came in by
//! the uppermost (`__netif_receive_skb_core` in net/core/dev.c sets `skb_iif` anew at each).

use std::collections::HashSet;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

/// An interface, and how packets get to it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacked {
    /// Its index.
    pub index: u32,
    /// The interface that it stands on: of a VLAN, say. In the same network namespace.
    pub below: Option<u32>,
    /// The bridge, bond or VRF that it is part of.
    controller: Option<u32>,
}

impl Stacked {
    /// What netlink says of an interface.
    #[must_use]
    pub fn read(link: &LinkMessage) -> Self {
        let (mut below, mut controller) = (None, None);
        let (mut stands, mut elsewhere) = (false, false);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Link(index) => below = Some(*index),
                LinkAttribute::Controller(index) => controller = Some(*index),
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(infos) => {
                    stands |= infos.iter().any(|info| match info {
                        LinkInfo::Kind(kind) => stands_on_another(kind),
                        _ => false,
                    });
                }
                _ => {}
            }
        }
        Self {
            index: link.header.index,
            below: below.filter(|_| stands && !elsewhere),
            controller,
        }
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

/// All interfaces of this network namespace.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn all() -> anyhow::Result<Vec<Stacked>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open netlink")?;
    let connection = tokio::spawn(connection);
    let links: Result<Vec<_>, _> = handle.link().get().execute().try_collect().await;
    connection.abort();
    let links = links.context("cannot ask netlink for the interfaces")?;
    Ok(links.iter().map(Stacked::read).collect())
}

/// Those that stand on one of `lowest`, directly or not.
#[must_use]
pub fn above(lowest: &HashSet<u32>, all: &[Stacked]) -> HashSet<u32> {
    let mut above = HashSet::new();
    // Each round but the last finds one more.
    for _ in all {
        let found: Vec<u32> = all
            .iter()
            .flat_map(|it| {
                [
                    it.below.zip(Some(it.index)),
                    Some(it.index).zip(it.controller),
                ]
            })
            .flatten()
            .filter(|(low, _)| lowest.contains(low) || above.contains(low))
            .map(|(_, high)| high)
            .collect();
        let before = above.len();
        above.extend(found);
        if above.len() == before {
            break;
        }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, below: Option<u32>, controller: Option<u32>) -> Stacked {
        Stacked {
            index,
            below,
            controller,
        }
    }

    #[test]
    fn whatever_stands_on_a_protected_one_is_found() {
        let all = [
            // eth0, in a bond of which a VLAN is in a bridge.
            interface(2, None, Some(4)),
            interface(3, None, None),
            interface(4, None, None),
            interface(5, Some(4), Some(6)),
            interface(6, None, None),
            // The bridge of containers, and one of them.
            interface(7, None, None),
            interface(8, None, Some(7)),
            // A VLAN of another interface.
            interface(9, Some(3), None),
        ];
        let of = |lowest: &[u32]| {
            let mut found: Vec<u32> = above(&lowest.iter().copied().collect(), &all)
                .into_iter()
                .collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(&[2]), [4, 5, 6]);
        assert_eq!(of(&[3]), [9]);
        assert!(of(&[6]).is_empty() && of(&[]).is_empty());
    }

    #[test]
    fn a_circle_comes_to_an_end() {
        let all = [interface(2, Some(3), None), interface(3, Some(2), None)];
        assert_eq!(above(&HashSet::from([2]), &all), HashSet::from([2, 3]));
    }
}
