//! What `cargo xtask bench` tells its generator of traffic.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Map `TRAFFIC` of the benchmarks' object, one entry. Numbers are in host byte order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Traffic {
    /// Index of the interface that the frames leave by, in the namespace of who runs the generator.
    pub interface: u32,
    /// Destination ports begin here.
    pub first_port: u32,
    /// So many destination ports, evenly used; at most 65,536.
    pub ports: u32,
    /// 1: TCP; 0: UDP without a checksum.
    pub is_tcp: u32,
    /// The lower halves of the senders' addresses begin here.
    pub first_sender: u32,
    /// So many senders, evenly used; at most 65,536.
    pub senders: u32,
    /// Source ports begin here.
    pub first_source: u32,
    /// So many source ports, evenly used; at most 65,536.
    pub sources: u32,
}
