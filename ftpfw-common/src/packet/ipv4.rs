//! IPv4 (RFC 791).

use super::{Carried, Cursor, ParseError, View as _};

const MIN_HEADER: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// Reads the IPv4 header at `at`: version, header length (RFC 791 §3.1: at least 5 words), total
/// length, fragmentation.
#[inline(always)]
pub(super) fn carried(cursor: &impl Cursor, at: usize) -> Result<Carried, ParseError> {
    let header = cursor.view::<MIN_HEADER>(at).ok_or(ParseError::Malformed)?;
    let version_ihl = header.u8::<0>();
    let header_length = usize::from(version_ihl & 0x0f) * 4;
    if version_ihl >> 4 != 4 || header_length < MIN_HEADER {
        return Err(ParseError::Malformed);
    }
    let end = match header.be16::<2>() {
        // A GSO super-packet that no 16 bits can measure (kernel: iph_totlen in linux/ip.h).
        0 if cursor.len() > usize::from(u16::MAX) => cursor.len(),
        total if usize::from(total) < header_length => return Err(ParseError::Malformed),
        total => at + usize::from(total),
    };
    if !cursor.reaches(end) || !cursor.reaches(at + header_length) {
        return Err(ParseError::Malformed);
    }
    let fragment = header.be16::<6>();
    let fragment_offset = usize::from(fragment & OFFSET_MASK) * 8;
    Ok(Carried {
        protocol: header.u8::<9>(),
        at: at + header_length,
        end,
        fragment_offset,
        first_fragment: fragment & MORE_FRAGMENTS != 0 && fragment_offset == 0,
    })
}
