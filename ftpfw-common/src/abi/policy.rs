//! What the agent tells the programs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of [`super::values::PortEntry::policy`].
pub mod port {
    /// TCP to this port is dropped unless allowed.
    pub const PROTECTED_TCP: u32 = 1;
    /// UDP to this port is dropped unless it answers an outgoing datagram.
    pub const PROTECTED_UDP: u32 = 1 << 1;
    /// The operator opened this port for TCP.
    pub const OPEN_TCP: u32 = 1 << 2;
    /// The operator opened this port for UDP.
    pub const OPEN_UDP: u32 = 1 << 3;
    /// FTP control connections arrive here.
    pub const CONTROL: u32 = 1 << 4;
    /// Control connections that are TLS from the first byte (RFC 4217 §9's "implicit" FTPS).
    pub const IMPLICIT_TLS: u32 = 1 << 5;
    /// A process that is no FTP daemon listens here. Set by the agent, cleared by the programs when the
    /// listener closes.
    pub const FOREIGN: u32 = 1 << 6;
    /// In the passive range of the FTP daemon: open to clients with an opaque session (`--ftps range`).
    pub const PASSIVE_RANGE: u32 = 1 << 7;

    /// Whether TCP to a port with these bits is dropped unless allowed.
    #[inline(always)]
    #[must_use]
    pub const fn closes_tcp(bits: u32) -> bool {
        bits & (PROTECTED_TCP | OPEN_TCP) == PROTECTED_TCP
    }

    /// Whether UDP to a port with these bits is dropped unless it answers something.
    #[inline(always)]
    #[must_use]
    pub const fn closes_udp(bits: u32) -> bool {
        bits & (PROTECTED_UDP | OPEN_UDP) == PROTECTED_UDP
    }
}

/// Values of [`Settings::ftps`].
pub mod ftps {
    /// Clients with an opaque session get in nowhere.
    pub const DENY: u32 = 0;
    /// Where the FTP daemon listens for them.
    pub const LISTENER: u32 = 1;
    /// On all ports with [`super::port::PASSIVE_RANGE`].
    pub const RANGE: u32 = 2;
}

/// Map `SETTINGS`, one entry: policy that can change while the programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// [`super::VERSION`] of who wrote the maps.
    pub abi_version: u32,
    /// 1: the programs arm tuples (`--opener inline`); 0: only the agent does.
    pub inline_opener: u32,
    /// How long an armed tuple lives, ns.
    pub tuple_lifetime: u64,
    /// How long a TCP flow of no local socket may be silent, ns.
    pub tcp_flow_lifetime: u64,
    /// How long a TCP flow of no local socket may be silent once the end behind this host has closed
    /// it, ns.
    pub closing_flow_lifetime: u64,
    /// How long a UDP flow may be silent, ns.
    pub udp_flow_lifetime: u64,
    /// 1: there is no tracepoint, so the first SYN claims a tuple.
    pub claim_on_syn: u32,
    /// 1: decide and count, drop nothing.
    pub dry_run: u32,
    /// 1: the driver hands on segments of other hosts' stacks whose checksum nobody has computed
    /// (`CHECKSUM_PARTIAL`: veth and paravirtual NICs).
    pub partial_checksums: u32,
    /// How data connections of opaque sessions are admitted: see [`ftps`].
    pub ftps: u32,
    /// Sessions of one client at most.
    pub sessions_per_client: u32,
    /// Armed tuples of one client at most.
    pub tuples_per_client: u32,
    /// Decides where in `CLIENTS` a client is counted; the same as long as that map lives.
    pub seed: u64,
}

impl Settings {
    /// The defaults of DESIGN: inline opener, 120 s for a tuple, FTPS by listeners; 120 s for a flow
    /// that is closing (`nf_conntrack_tcp_timeout_fin_wait`); a quarter of the maps for one client.
    pub const DEFAULT: Self = Self {
        abi_version: super::VERSION,
        inline_opener: 1,
        tuple_lifetime: 120 * 1_000_000_000,
        tcp_flow_lifetime: 3600 * 1_000_000_000,
        closing_flow_lifetime: 120 * 1_000_000_000,
        udp_flow_lifetime: 180 * 1_000_000_000,
        claim_on_syn: 0,
        dry_run: 0,
        partial_checksums: 0,
        ftps: ftps::LISTENER,
        sessions_per_client: 1 << 14,
        tuples_per_client: 1 << 14,
        seed: 0,
    };
}
