//! Map keys and values of `ftpfw-common` as aya wants them.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A key or value as it lies in a map.
///
/// `ftpfw-common` knows nothing of aya and forbids `unsafe`, so its types cannot be [`aya::Pod`];
/// this wrapper is, for every type that zerocopy has proved to be plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: `Pod` asks that a value may be read as bytes and made from any bytes. `IntoBytes` (no
// padding, no uninitialised byte) and `FromBytes` (every bit pattern is a value) say exactly that,
// `Immutable` that no byte changes behind a shared reference, and `repr(transparent)` carries all
// three over to the wrapper.
unsafe impl<T: IntoBytes + FromBytes + Immutable + Copy + 'static> aya::Pod for Wire<T> {}
