//! The kernel's socket table.

use core::{ffi::c_void, mem};

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock, bpf_sock_tuple},
    helpers::generated::{
        bpf_sk_fullsock, bpf_sk_lookup_tcp, bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_sock,
    },
};
use ftpfw_common::abi::keys::SessionKey;

/// `BPF_F_CURRENT_NETNS`: the namespace of the interface that the packet is on.
const CURRENT_NETNS: u64 = u64::MAX;

// `include/net/tcp_states.h`; the states begin at 1.
pub const NO_SOCKET: u32 = 0;
pub const TCP_ESTABLISHED: u32 = 1;
pub const TCP_SYN_SENT: u32 = 2;
pub const TCP_SYN_RECV: u32 = 3;
pub const TCP_FIN_WAIT2: u32 = 5;
pub const TCP_CLOSE: u32 = 7;
pub const TCP_LAST_ACK: u32 = 9;
pub const TCP_LISTEN: u32 = 10;
pub const TCP_CLOSING: u32 = 11;
pub const TCP_NEW_SYN_RECV: u32 = 12;

/// `bpf_sock_tuple` for a connection, and its size.
#[inline(always)]
fn tuple(connection: &SessionKey) -> (bpf_sock_tuple, u32) {
    // SAFETY: the union holds integers only, for which zero is a value.
    let mut tuple: bpf_sock_tuple = unsafe { mem::zeroed() };
    let sport = connection.client_port.to_be();
    let dport = connection.server_port.to_be();
    if connection.client.is_v4() {
        let ([.., client], [.., server]) = (connection.client.words(), connection.server.words());
        // SAFETY: any bytes are a value of this member, which the helper reads by the size below.
        let v4 = unsafe { &mut tuple.__bindgen_anon_1.ipv4 };
        v4.saddr = client;
        v4.daddr = server;
        v4.sport = sport;
        v4.dport = dport;
        let size = size_of_val(v4) as u32;
        (tuple, size)
    } else {
        // SAFETY: as above.
        let v6 = unsafe { &mut tuple.__bindgen_anon_1.ipv6 };
        v6.saddr = connection.client.words();
        v6.daddr = connection.server.words();
        v6.sport = sport;
        v6.dport = dport;
        let size = size_of_val(v6) as u32;
        (tuple, size)
    }
}

/// The state of the socket for this connection, or of the listener that would take it
/// ([`TCP_LISTEN`]); [`NO_SOCKET`] when there is neither. `ctx` is the context of an XDP or TC program.
#[inline(always)]
pub fn state(ctx: *mut c_void, connection: &SessionKey) -> u32 {
    let (mut tuple, size) = tuple(connection);
    // SAFETY: the tuple has the layout and size that the helper wants; the reference that it returns
    // is read while it is held and released once.
    unsafe {
        let socket = bpf_skc_lookup_tcp(ctx.cast(), &raw mut tuple, size, CURRENT_NETNS, 0);
        if socket.is_null() {
            return NO_SOCKET;
        }
        let state = (*socket).state;
        bpf_sk_release(socket.cast());
        state
    }
}

/// What the kernel knows of a connection's past.
#[derive(Clone, Copy)]
pub struct Past {
    /// Segments with data that came in before.
    pub received: u32,
    /// Segments with data that went out, those under way included.
    pub sent: u32,
    /// Sequence number of the byte that TCP wants next.
    pub next: u32,
}

/// The past of an established connection, from its socket; `None` for any other state.
///
/// # Safety
/// `socket` is not null and comes from the kernel: a full socket.
#[inline(always)]
pub unsafe fn past(socket: *mut bpf_sock) -> Option<Past> {
    // SAFETY: the caller's; the helper answers null for what is no TCP socket.
    unsafe {
        if (*socket).state != TCP_ESTABLISHED {
            return None;
        }
        let tcp = bpf_tcp_sock(socket);
        if tcp.is_null() {
            return None;
        }
        Some(Past {
            received: (*tcp).data_segs_in,
            sent: (*tcp).data_segs_out,
            next: (*tcp).rcv_nxt,
        })
    }
}

/// The past of an established connection, found by its addresses.
#[inline(never)]
pub fn find_past(ctx: *mut c_void, connection: &SessionKey) -> Option<Past> {
    let (mut tuple, size) = tuple(connection);
    // SAFETY: as in `state`; the helper returns a full socket.
    unsafe {
        let socket = bpf_sk_lookup_tcp(ctx.cast(), &raw mut tuple, size, CURRENT_NETNS, 0);
        if socket.is_null() {
            return None;
        }
        let past = past(socket);
        bpf_sk_release(socket.cast());
        past
    }
}

/// The full socket that sends a packet, at TC egress; null for forwarded packets and for what the
/// kernel answers by itself.
#[inline(always)]
pub fn sender(skb: *mut __sk_buff) -> *mut bpf_sock {
    // SAFETY: the context is valid during the program; the helper takes a socket of any kind, but
    // no null.
    unsafe {
        let socket = (*skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            socket
        } else {
            bpf_sk_fullsock(socket)
        }
    }
}
