//! Where the kernel that runs keeps what the tracepoint programs read of sockets and tasks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of the constant in the eBPF object that holds the [`KernelLayout`].
pub const LAYOUT: &str = "KERNEL_LAYOUT";

/// Byte offsets, from the kernel's BTF, and the namespace whose sockets count.
///
/// The programs get the kernel's own `struct sock` and `struct task_struct`, whose layouts differ from
/// kernel to kernel.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct KernelLayout {
    /// `sock.__sk_common.skc_family`: 16 bits.
    pub family: u32,
    /// `sock.sk_protocol`: 16 bits (8 of a bit field before 5.6).
    pub protocol: u32,
    /// `inet_sock.inet_saddr`: 32 bits, network order.
    pub local_v4: u32,
    /// `sock.__sk_common.skc_daddr`: 32 bits, network order.
    pub remote_v4: u32,
    /// `sock.__sk_common.skc_v6_rcv_saddr`: 128 bits, network order.
    pub local_v6: u32,
    /// `sock.__sk_common.skc_v6_daddr`: 128 bits, network order.
    pub remote_v6: u32,
    /// `inet_sock.inet_sport`: 16 bits, network order. Not `skc_num`, which is 0 already when a socket
    /// that never chose its port closes.
    pub local_port: u32,
    /// `sock.__sk_common.skc_dport`: 16 bits, network order.
    pub remote_port: u32,
    /// `sock.__sk_common.skc_net`: a pointer to `struct net`.
    pub net: u32,
    /// `net.ns.inum`, from the start of `struct net`: 32 bits.
    pub inum: u32,
    /// `task_struct.pid`: 32 bits, the number of the thread.
    pub pid: u32,
    /// `task_struct.tgid`: 32 bits, the number of the process.
    pub tgid: u32,
    /// `sock.__sk_common.skc_flags`: a word of bits.
    pub flags: u32,
    /// `tcp_sock.bytes_received`: 64 bits.
    pub received: u32,
    /// `tcp_sock.bytes_acked`: 64 bits.
    pub acked: u32,
    /// The number of the network namespace (that of the file `/proc/PID/ns/net`) that ftpfw protects.
    pub namespace: u32,
}
