//! Packet memory behind the [`Cursor`] of `ftpfw-common`.

use core::{arch::asm, ffi::c_void, hint, mem::offset_of};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, xdp_md},
    helpers::generated::bpf_xdp_get_buff_len,
    programs::{TcContext, XdpContext},
};
use ftpfw_common::packet::{Cursor, View};

/// No header that is read lies further into a frame. The verifier wants packet offsets bounded.
const MAX_OFFSET: usize = 0x7fff;

/// `N` bytes of packet memory, checked against its end.
#[derive(Clone, Copy)]
pub struct PacketView<const N: usize>(usize);

/// One load instruction from packet memory.
///
/// In assembly, because a BPF load needs no alignment (the verifier asks for it only on machines
/// that do) but a Rust reference does, and LLVM takes a byte-aligned read apart into bytes.
macro_rules! load {
    ($view:expr, $at:ident, $size:literal, $type:ty) => {{
        let value: u64;
        // SAFETY: the N bytes at the view's address are inside the packet, as `PacketCursor::view`
        // checked, and `$at` plus the size is at most N, as the compiler checked. A load changes
        // nothing else.
        unsafe {
            asm!(
                concat!("{value} = *(", $size, " *)({base} + {at})"),
                value = lateout(reg) value,
                base = in(reg) $view.0,
                at = const $at,
                options(pure, readonly, nostack, preserves_flags),
            );
            // A load of fewer bytes clears the others (RFC 9669 §5.1): spares a mask.
            hint::assert_unchecked(value <= <$type>::MAX as u64);
        }
        value as $type
    }};
}

impl<const N: usize> View<N> for PacketView<N> {
    #[inline(always)]
    fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) }
        load!(self, AT, "u8", u8)
    }

    #[inline(always)]
    fn be16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) }
        u16::from_be(load!(self, AT, "u16", u16))
    }

    #[inline(always)]
    fn ne32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) }
        load!(self, AT, "u32", u32)
    }
}

/// The linear part of a frame.
pub struct PacketCursor {
    start: usize,
    end: usize,
    /// Bytes of the whole frame; of an XDP frame, of its first buffer.
    length: usize,
    /// The program's context.
    ctx: *mut c_void,
    /// Whether it is an XDP frame that may have more buffers than one.
    frags: bool,
}

/// A word of either context that nobody compares with anything, so that the verifier never learns more of it.
const UNKNOWN: usize = offset_of!(xdp_md, ingress_ifindex);
const _: () = assert!(UNKNOWN == offset_of!(__sk_buff, queue_mapping));

impl PacketCursor {
    /// An XDP frame of one buffer.
    #[inline(always)]
    pub fn xdp(ctx: &XdpContext) -> Self {
        let (start, end) = (ctx.data(), ctx.data_end());
        Self {
            start,
            end,
            length: end - start,
            ctx: ctx.as_ptr(),
            frags: false,
        }
    }

    /// An XDP frame of any number of buffers. Headers are in the first: drivers fill it first.
    #[inline(always)]
    pub fn xdp_frags(ctx: &XdpContext) -> Self {
        Self {
            frags: true,
            ..Self::xdp(ctx)
        }
    }

    /// A socket buffer. What the stack has not made linear yet is made so, as far as headers go.
    #[inline(always)]
    pub fn skb(ctx: &TcContext) -> Self {
        let length = ctx.len();
        let wanted = length.min(HEADERS);
        if ctx.data() + (wanted as usize) > ctx.data_end() {
            // On failure the headers end where the linear part ends.
            let _ = ctx.pull_data(wanted);
        }
        Self {
            start: ctx.data(),
            end: ctx.data_end(),
            length: length as usize,
            ctx: ctx.as_ptr(),
            frags: false,
        }
    }
}

/// An offset that has been checked, bounded once more in the very register that is used. LLVM may check
/// a copy, or a sum; older kernels (6.1) then know nothing of the register itself and refuse
/// the addition.
#[inline(always)]
fn bounded(mut at: usize) -> usize {
    // SAFETY: an `and` of a register, which changes nothing here: `at` is at most MAX_OFFSET.
    unsafe {
        asm!(
            "{at} &= {mask}",
            at = inout(reg) at,
            mask = const MAX_OFFSET,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    at
}

/// Ethernet, two tags, IPv6, an extension header or two, TCP with options.
const HEADERS: u32 = 14 + 8 + 40 + 64 + 60;

impl Cursor for PacketCursor {
    type View<const N: usize> = PacketView<N>;

    #[inline(always)]
    fn view<const N: usize>(&self, at: usize) -> Option<PacketView<N>> {
        if at > MAX_OFFSET {
            return None;
        }
        let from = self.start + bounded(at);
        if from + N > self.end {
            None
        } else {
            Some(PacketView(from))
        }
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        // Only a frame that is longer than its first buffer costs the call.
        end <= self.length || end <= self.len()
    }

    #[inline(always)]
    fn any(&self, mut at: usize) -> usize {
        // SAFETY: the context is valid during the program, and the register comes to what it was: `at` is at
        // most MAX_OFFSET.
        unsafe {
            asm!(
                "{unknown} = *(u32 *)({ctx} + {word})",
                "{at} += {unknown}",
                "{at} -= {unknown}",
                "{at} &= {mask}",
                at = inout(reg) at,
                ctx = in(reg) self.ctx,
                unknown = out(reg) _,
                word = const UNKNOWN,
                mask = const MAX_OFFSET,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        at
    }

    #[inline(always)]
    fn len(&self) -> usize {
        if self.frags {
            // SAFETY: the context is valid during the program, and an XDP frame's.
            unsafe { bpf_xdp_get_buff_len(self.ctx.cast()) as usize }
        } else {
            self.length
        }
    }
}
