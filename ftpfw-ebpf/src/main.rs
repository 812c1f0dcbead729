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
mod clients;
mod clock;
mod commands;
mod conclude;
mod count;
mod cursor;
mod events;
mod idle;
mod kernel;
mod listeners;
mod lookup;
mod maps;
mod outgoing;
mod processes;
mod repeat;
mod replies;
mod sessions;
mod sockets;
mod tables;
mod tally;
mod tuples;
mod walk;

use aya_ebpf::{
    bindings::{__sk_buff, xdp_action},
    macros::{classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};
use ftpfw_common::{abi::keys::SessionKey, filter, reason::Reason};

use crate::{cursor::PacketCursor, tables::KernelTables};

/// `TC_ACT_UNSPEC`, `TCX_NEXT`: on to the next program, if there is one, then to the stack.
const TC_NEXT: i32 = -1;
/// `TC_ACT_SHOT`, `TCX_DROP`.
const TC_DROP: i32 = 2;

/// NIC, ingress: lets through what is allowed. DESIGN §4. For frames of any number of buffers.
#[xdp(frags)]
pub fn ingress(ctx: XdpContext) -> u32 {
    filter(&ctx, &PacketCursor::xdp_frags(&ctx))
}

/// The same for kernels, before 5.18, that know frames of one buffer only.
#[xdp]
pub fn ingress_linear(ctx: XdpContext) -> u32 {
    filter(&ctx, &PacketCursor::xdp(&ctx))
}

#[inline(always)]
fn filter(ctx: &XdpContext, cursor: &PacketCursor) -> u32 {
    let reason = filter::decide(cursor, &mut KernelTables::new(ctx));
    // SAFETY: the context is valid during the program.
    let interface = unsafe { (*ctx.ctx).ingress_ifindex };
    if count::passes(reason, interface) {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// NIC, TC ingress, where the filter runs there too (`--mode tc`): first what XDP would do, then
/// what `commands` does.
#[classifier]
pub fn guard(ctx: TcContext) -> i32 {
    if lets_in(ctx.skb.skb) {
        act(&ctx, commands::follow(&ctx))
    } else {
        TC_DROP
    }
}

/// A function of its own, so that its stack is free again when the follower runs.
#[inline(never)]
fn lets_in(skb: *mut __sk_buff) -> bool {
    let ctx = TcContext::new(skb);
    let reason = filter::decide(&PacketCursor::skb(&ctx), &mut KernelTables::new(&ctx));
    count::passes(reason, interface(&ctx))
}

/// NIC, TC ingress: follows what clients say on control connections. DESIGN §5.
#[classifier]
pub fn commands(ctx: TcContext) -> i32 {
    act(&ctx, commands::follow(&ctx))
}

/// NIC, TC egress: follows what the server says, and watches whom it dials. DESIGN §5.
#[classifier]
pub fn replies(ctx: TcContext) -> i32 {
    act(&ctx, outgoing::judge(&ctx))
}

/// `inet_sock_set_state`: claims tuples, ends sessions.
#[raw_tracepoint]
pub fn sockets(ctx: RawTracePointContext) -> i32 {
    sockets::told_first(&ctx);
    0
}

/// `inet_sock_set_state` once more: the kernel skips a program that it interrupts on the same CPU.
#[raw_tracepoint]
pub fn sockets_again(ctx: RawTracePointContext) -> i32 {
    sockets::told_again(&ctx);
    0
}

/// `sched_process_fork`: an FTP daemon's child belongs to it.
#[raw_tracepoint]
pub fn forks(ctx: RawTracePointContext) -> i32 {
    processes::forked(&ctx);
    0
}

/// `sched_process_exec`: another program is no FTP daemon.
#[raw_tracepoint]
pub fn execs(_ctx: RawTracePointContext) -> i32 {
    processes::executed();
    0
}

/// `sched_process_exit`.
#[raw_tracepoint]
pub fn exits(ctx: RawTracePointContext) -> i32 {
    processes::exited(&ctx);
    0
}

/// On no tracepoint: the agent has it run for a session that it found to be over.
#[raw_tracepoint]
pub fn forget(ctx: RawTracePointContext) -> i32 {
    i32::from(sessions::forget(&named_session(&ctx)))
}

/// On no tracepoint: the agent, where it is the one that opens, has it run for a session that is TLS from now
/// on, or no longer.
#[raw_tracepoint]
pub fn turned(ctx: RawTracePointContext) -> i32 {
    let (id, opaque) = (ctx.arg(5), ctx.arg::<u64>(6) != 0);
    i32::from(sessions::turned(&named_session(&ctx), id, opaque))
}

/// The session that the agent means.
#[inline(always)]
fn named_session(ctx: &RawTracePointContext) -> SessionKey {
    SessionKey::from_words([ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4)])
}

/// TC programs follow; only what they have a reason to drop is counted.
#[inline(always)]
fn act(ctx: &TcContext, dropped: Option<Reason>) -> i32 {
    match dropped {
        Some(reason) if !count::passes(reason, interface(ctx)) => TC_DROP,
        _ => TC_NEXT,
    }
}

#[inline(always)]
fn interface(ctx: &TcContext) -> u32 {
    // SAFETY: the context is valid during the program.
    unsafe { (*ctx.skb.skb).ifindex }
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
