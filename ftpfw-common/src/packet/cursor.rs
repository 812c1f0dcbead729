//! Reading a frame with every access checked.

/// `N` bytes of a frame that are known to be there.
///
/// Offsets are constants, and the compiler refuses one that lies outside: a view cannot fail.
pub trait View<const N: usize>: Copy {
    /// The byte at `AT`.
    fn u8<const AT: usize>(self) -> u8;
    /// The two bytes at `AT`, big-endian.
    fn be16<const AT: usize>(self) -> u16;
    /// The four bytes at `AT` as they lie in memory.
    fn ne32<const AT: usize>(self) -> u32;
    /// The four bytes at `AT`, big-endian.
    #[inline(always)]
    fn be32<const AT: usize>(self) -> u32 {
        u32::from_be(self.ne32::<AT>())
    }
}

/// Bytes of one frame, from its Ethernet header on.
///
/// The BPF programs implement it over packet memory (compare against `data_end`, so that the
/// verifier accepts the loads), the host over a slice: the parsers are written once.
pub trait Cursor {
    /// What [`Cursor::view`] returns.
    type View<const N: usize>: View<N>;

    /// A view of the `N` bytes at `at`, or `None` when the frame's headers end before `at + N`.
    fn view<const N: usize>(&self, at: usize) -> Option<Self::View<N>>;

    /// Whether the whole frame, linear or not, holds at least `end` bytes.
    fn reaches(&self, end: usize) -> bool;

    /// The length of the whole frame in bytes, for GSO super-packets longer than an IP length field
    /// can say.
    fn len(&self) -> usize;

    /// The same offset, which must lie within the headers. To the verifier it may be any from here on: paths
    /// that have come to different ones are one path then, and what follows is walked once.
    fn any(&self, at: usize) -> usize {
        at
    }

    /// Whether the frame has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A view of bytes in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> View<N> for Bytes<'_, N> {
    fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) }
        self.0[AT]
    }

    fn be16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) }
        u16::from_be_bytes([self.0[AT], self.0[AT + 1]])
    }

    fn ne32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) }
        u32::from_ne_bytes([self.0[AT], self.0[AT + 1], self.0[AT + 2], self.0[AT + 3]])
    }
}

impl<'a> Cursor for &'a [u8] {
    type View<const N: usize> = Bytes<'a, N>;

    fn view<const N: usize>(&self, at: usize) -> Option<Bytes<'a, N>> {
        self.get(at..at.checked_add(N)?)?.try_into().ok().map(Bytes)
    }

    fn reaches(&self, end: usize) -> bool {
        end <= <[u8]>::len(self)
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}
