//! What ftpfw runs in the kernel: entry points only. What they do is in `ftpfw-common`; how they
//! reach packets, maps and sockets is in the modules below.
#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![expect(
    internal_features,
    reason = "see atomic.rs: core offers no fetch_add for this target"
)]

mod atomic;
mod checksum;
mod clock;
mod commands;
mod conclude;
mod count;
mod cursor;
mod events;
mod lookup;
mod maps;
mod outgoing;
mod replies;
mod sessions;
mod sockets;
mod tables;
mod tuples;
mod walk;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use ftpfw_common::{filter, reason::Reason};

/// `TC_ACT_UNSPEC`, `TCX_NEXT`: on to the next program, if there is one, then to the stack.
const TC_NEXT: i32 = -1;
/// `TC_ACT_SHOT`, `TCX_DROP`.
const TC_DROP: i32 = 2;

/// NIC, ingress: lets through what is allowed. DESIGN §4.
#[xdp]
pub fn ingress(ctx: XdpContext) -> u32 {
    let reason = filter::decide(
        &cursor::PacketCursor::xdp(&ctx),
        &mut tables::KernelTables::new(&ctx),
    );
    if count::passes(reason) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// NIC, TC ingress: follows what clients say on control connections. DESIGN §5.
#[classifier]
pub fn commands(ctx: TcContext) -> i32 {
    act(commands::follow(&ctx))
}

/// NIC, TC egress: follows what the server says, and watches whom it dials. DESIGN §5.
#[classifier]
pub fn replies(ctx: TcContext) -> i32 {
    act(outgoing::judge(&ctx))
}

/// `inet_sock_set_state`: claims tuples, ends sessions.
#[raw_tracepoint]
pub fn sockets(ctx: RawTracePointContext) -> i32 {
    sockets::state_changed(&ctx);
    0
}

/// TC programs follow; only what they have a reason to drop is counted.
#[inline(always)]
fn act(dropped: Option<Reason>) -> i32 {
    match dropped {
        Some(reason) if !count::passes(reason) => TC_DROP,
        _ => TC_NEXT,
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a program in which it could be is refused by the verifier for this loop.
    loop {}
}

/// `bpf_loop` and the socket lookups are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
