//! IPv6 and its extension headers (RFC 8200 §4).

use super::{Carried, Cursor, ParseError, View as _, protocol};

const HEADER: usize = 40;
/// Extension headers that are walked; RFC 8200 §4.1 recommends each at most once, destination
/// options twice: six. Two more for good measure.
pub const MAX_EXTENSIONS: usize = 8;
const MORE_FRAGMENTS: u16 = 1;
const OFFSET_MASK: u16 = 0xfff8;

/// Reads the IPv6 header at `at` and walks its extension headers up to the transport header, to a
/// protocol that is not walked, or to a later fragment.
#[inline(always)]
pub(super) fn carried(cursor: &impl Cursor, at: usize) -> Result<Carried, ParseError> {
    let header = cursor.view::<HEADER>(at).ok_or(ParseError::Malformed)?;
    if header.u8::<0>() >> 4 != 6 {
        return Err(ParseError::Malformed);
    }
    let end = match header.be16::<4>() {
        // A GSO super-packet, the stack's own jumbogram (kernel: ipv6_payload_len in linux/ipv6.h).
        0 if cursor.len() > usize::from(u16::MAX) => cursor.len(),
        payload => at + HEADER + usize::from(payload),
    };
    if !cursor.reaches(end) {
        return Err(ParseError::Malformed);
    }
    let mut carried = Carried {
        protocol: header.u8::<6>(),
        at: at + HEADER,
        end,
        fragment_offset: 0,
        first_fragment: false,
    };
    for _ in 0..MAX_EXTENSIONS {
        if !step(cursor, &mut carried)? {
            return Ok(carried);
        }
    }
    // Was the last one walked followed by something that ends the chain?
    if is_extension(carried.protocol) {
        Err(ParseError::TooManyHeaders)
    } else {
        Ok(carried)
    }
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION
    )
}

/// Steps over one extension header; `false` when there is none to step over.
#[inline(always)]
fn step(cursor: &impl Cursor, carried: &mut Carried) -> Result<bool, ParseError> {
    // A later fragment's bytes are the middle of something: no header starts there.
    if carried.fragment_offset != 0 || !is_extension(carried.protocol) {
        return Ok(false);
    }
    let header = cursor.view::<4>(carried.at).ok_or(ParseError::Malformed)?;
    let length = header.u8::<1>();
    let size = match carried.protocol {
        protocol::FRAGMENT => {
            let field = header.be16::<2>();
            carried.fragment_offset = usize::from(field & OFFSET_MASK);
            // An atomic fragment (RFC 6946) is both first and last: a whole packet.
            carried.first_fragment = carried.fragment_offset == 0 && field & MORE_FRAGMENTS != 0;
            8
        }
        // RFC 4302 §2.2: in words of 4 bytes, minus 2.
        protocol::AUTHENTICATION => (usize::from(length) + 2) * 4,
        // RFC 8200 §4.3: in units of 8 bytes, not counting the first.
        _ => (usize::from(length) + 1) * 8,
    };
    carried.protocol = header.u8::<0>();
    carried.at = cursor.any(carried.at + size);
    if carried.at > carried.end {
        Err(ParseError::Malformed)
    } else {
        Ok(true)
    }
}
