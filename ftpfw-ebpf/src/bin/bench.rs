//! What `cargo xtask bench` runs in the kernel: a generator of traffic, and the limit that every
//! filter is held against.
#![no_std]
#![no_main]

use core::mem;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock_tuple, xdp_action},
    helpers::{
        bpf_redirect,
        generated::{bpf_sk_release, bpf_skc_lookup_tcp},
    },
    macros::{map, socket_filter, xdp},
    maps::{Array, PerCpuArray},
    programs::{SkBuffContext, XdpContext},
};
use ftpfw_common::abi::bench::Traffic;

/// One entry: what to send, and where.
#[map]
static TRAFFIC: Array<Traffic> = Array::with_max_entries(1, 0);
/// One entry: this CPU's random numbers.
#[map]
static RANDOM: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// One entry: packets that `drop` has dropped.
#[map]
static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Offsets in an untagged frame of IPv4 without options.
mod at {
    pub const IP_ID: usize = 18;
    pub const SOURCE: usize = 26;
    pub const SOURCE_LOW: usize = 28;
    pub const DESTINATION: usize = 30;
    pub const SOURCE_PORT: usize = 34;
    pub const DESTINATION_PORT: usize = 36;
    /// Lower half of TCP's sequence number.
    pub const SEQUENCE_LOW: usize = 40;
    pub const END: usize = 54;
}

/// Run by BPF_PROG_TEST_RUN with live frames: gives the frame another source address, source port and
/// destination port, and sends it out.
///
/// All checksums stay right: what a field adds to a sum, the IP identification and TCP's sequence
/// number take away again (their sum is 0xffff, which is 0 in ones' complement, RFC 1071 §1).
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    let Some(traffic) = TRAFFIC.get(0) else {
        return xdp_action::XDP_ABORTED;
    };
    if start + at::END > end {
        return xdp_action::XDP_ABORTED;
    }
    let random = random();
    // 16 random bits, evenly over `count` numbers from `first` on.
    let pick = |bits: u64, first: u32, count: u32| {
        (first + (((bits as u32 & 0xffff) * count) >> 16)) as u16
    };
    let source_low = pick(random, traffic.first_sender, traffic.senders);
    let source_port = pick(random >> 16, traffic.first_source, traffic.sources);
    let destination = pick(random >> 32, traffic.first_port, traffic.ports);
    let write = |at: usize, value: u16| {
        // SAFETY: the frame is at least `END` bytes long, and every offset is two less or more.
        unsafe { ((start + at) as *mut u16).write_unaligned(value.to_be()) };
    };
    write(at::SOURCE_LOW, source_low);
    write(at::IP_ID, !source_low);
    write(at::SOURCE_PORT, source_port);
    write(at::DESTINATION_PORT, destination);
    if traffic.is_tcp != 0 {
        let sum = u32::from(source_low) + u32::from(source_port) + u32::from(destination);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        write(at::SEQUENCE_LOW, !(sum as u16));
    }
    // SAFETY: the helper takes two numbers.
    unsafe { bpf_redirect(traffic.interface, 0) as u32 }
}

/// Xorshift64 (Marsaglia 2003): cheaper than the kernel's random numbers, and as good as a scan's.
#[inline(always)]
fn random() -> u64 {
    let Some(state) = RANDOM.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the entry belongs to this CPU.
    unsafe {
        let mut word = *state | 1;
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        *state = word;
        word
    }
}

/// On a socket: takes the packets that come for it and throws them away, so that what is measured ends
/// where a packet has found its socket.
#[socket_filter]
pub fn swallow(_ctx: SkBuffContext) -> i64 {
    0
}

/// The limit of dropping: does so without a look.
#[xdp]
pub fn drop(_ctx: XdpContext) -> u32 {
    dropped()
}

/// The limit where a packet may be a connection's: asks the kernel for its socket, and drops it in any case.
#[xdp]
pub fn look_up(ctx: XdpContext) -> u32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + at::END > end {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the union holds integers only; the frame is at least `END` bytes long; the helper reads as
    // many bytes of the tuple as it is told, and what it returns is released once.
    unsafe {
        let mut tuple: bpf_sock_tuple = mem::zeroed();
        let v4 = &mut tuple.__bindgen_anon_1.ipv4;
        v4.saddr = ((start + at::SOURCE) as *const u32).read_unaligned();
        v4.daddr = ((start + at::DESTINATION) as *const u32).read_unaligned();
        v4.sport = ((start + at::SOURCE_PORT) as *const u16).read_unaligned();
        v4.dport = ((start + at::DESTINATION_PORT) as *const u16).read_unaligned();
        let size = size_of_val(v4) as u32;
        // `BPF_F_CURRENT_NETNS`: -1.
        let socket = bpf_skc_lookup_tcp(ctx.as_ptr(), &raw mut tuple, size, u64::MAX, 0);
        if !socket.is_null() {
            bpf_sk_release(socket.cast());
        }
    }
    dropped()
}

/// The limit of letting through: does so without a look.
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[inline(always)]
fn dropped() -> u32 {
    if let Some(dropped) = DROPPED.get_ptr_mut(0) {
        // SAFETY: the entry belongs to this CPU.
        unsafe { *dropped += 1 };
    }
    xdp_action::XDP_DROP
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a program in which it could be is refused by the verifier for this loop.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
