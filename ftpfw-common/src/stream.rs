//! TCP segments of one direction → each byte once, in sequence order.

use core::cmp::Ordering;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A TCP sequence number: 32 bits that wrap (RFC 9293 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Sequence(pub u32);

impl Sequence {
    /// Signed distance from `earlier` to `self`, bytes.
    #[inline(always)]
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The number `bytes` later.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Whether `self` comes after `other`.
    #[inline(always)]
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.since(*other).cmp(&0))
    }
}

/// How a segment lies against what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Every byte of it was seen before.
    Old,
    /// Its first `skip` bytes were seen before, the rest follows without a hole.
    Next {
        /// Bytes to skip, less than the segment's length.
        skip: u32,
    },
    /// Bytes are missing in front of it.
    Hole,
}

/// Places a segment of `length` bytes that starts at `sequence` when `next` is expected.
///
/// Bytes that were seen are never taken from a second copy, whatever it says: TCP keeps the first
/// too, and a receiver that saw the follower's bytes must not be shown others (ATTACKS 19).
#[inline(always)]
#[must_use]
pub const fn place(next: Sequence, sequence: Sequence, length: u32) -> Placement {
    let ahead = sequence.since(next);
    if ahead > 0 {
        return Placement::Hole;
    }
    let skip = ahead.unsigned_abs();
    if skip >= length {
        Placement::Old
    } else {
        Placement::Next { skip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_segments_across_the_wrap() {
        let next = Sequence(2);
        assert_eq!(place(next, Sequence(2), 3), Placement::Next { skip: 0 });
        assert_eq!(place(next, Sequence(u32::MAX), 3), Placement::Old);
        assert_eq!(
            place(next, Sequence(u32::MAX), 4),
            Placement::Next { skip: 3 }
        );
        assert_eq!(place(next, Sequence(3), 1), Placement::Hole);
        assert_eq!(place(next, Sequence(2), 0), Placement::Old);
    }
}
