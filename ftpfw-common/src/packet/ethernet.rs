//! Ethernet II and VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use super::{Cursor, Network, ParseError, View as _};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// Length of an Ethernet header without tags, bytes.
pub const HEADER: usize = 14;
const TAG: usize = 4;
/// Tags that are walked: a service tag and a customer tag (802.1ad).
const MAX_TAGS: usize = 2;

/// Walks up to two VLAN tags to the IP header.
///
/// # Errors
/// [`ParseError::TooManyHeaders`] behind a third tag: the stack takes off as many of VLAN 0 as there are
/// (`__netif_receive_skb_core` in `net/core/dev.c`), and of others where VLANs are nested.
#[inline(always)]
pub(super) fn network(cursor: &impl Cursor) -> Result<Network, ParseError> {
    let mut at = HEADER;
    let mut ethertype = read_type(cursor, at)?;
    for _ in 0..MAX_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        at += TAG;
        ethertype = read_type(cursor, at)?;
    }
    let at = cursor.any(at);
    match ethertype {
        ETHERTYPE_IPV4 => Ok(Network::V4(at)),
        ETHERTYPE_IPV6 => Ok(Network::V6(at)),
        ethertype if is_tag(ethertype) => Err(ParseError::TooManyHeaders),
        _ => Err(ParseError::NotIp),
    }
}

const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN)
}

/// The EtherType that ends the header before `at`.
#[inline(always)]
fn read_type(cursor: &impl Cursor, at: usize) -> Result<u16, ParseError> {
    Ok(cursor
        .view::<2>(at - 2)
        .ok_or(ParseError::Malformed)?
        .be16::<0>())
}
