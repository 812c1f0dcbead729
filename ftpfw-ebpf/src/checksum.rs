//! Whether TCP will accept a segment: its checksum (RFC 9293 §3.1).
//!
//! A follower that reads what TCP then discards can be told a lie (ATTACKS 20).

use core::ptr;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_csum_diff, bpf_csum_level, bpf_skb_load_bytes},
};
use ftpfw_common::{abi::event::PAYLOAD_CHUNK, packet::protocol};

use crate::{
    maps::{Record, settings},
    repeat::{GO_ON, STOP, repeat},
};

/// `BPF_CSUM_LEVEL_QUERY`: no error where the NIC, or the sender on this host, vouches for the sum.
const QUERY: u64 = 0;
/// Offset of the checksum in a TCP header.
const FIELD: u32 = 16;
/// Bytes of the two addresses at the start of a session's key.
const ADDRESSES: u32 = 32;

/// What the callback sees.
struct Sum {
    skb: *mut __sk_buff,
    record: *mut Record,
    offset: u32,
    length: u32,
    sum: u32,
}

/// Whether the segment in `record` has the checksum that TCP will look for.
#[inline(never)]
pub fn is_right(skb: *mut __sk_buff, record: *mut Record) -> bool {
    // SAFETY: context and record are valid during the program; nobody else writes the record. What
    // is summed up lies in the record, or is loaded into it by a helper that checks the packet.
    unsafe {
        // A super-packet was put together by GRO, which looks at every sum, or on this host.
        if (*skb).gso_size > 0 || bpf_csum_level(skb, QUERY) >= 0 {
            return true;
        }
        let (at, end) = ((*record).segment.at as u32, (*record).segment.end as u32);
        let length = end.wrapping_sub(at);
        // Word by word a mapped IPv4 address sums up to what the IPv4 address does: 0xffff is zero.
        // Length and protocol are added before they are swapped: a carry out of the lowest byte would
        // be lost out of the highest.
        let seed = length.wrapping_add(u32::from(protocol::TCP)).to_be();
        let addresses = (&raw mut (*record).header.key).cast();
        let pseudo = bpf_csum_diff(ptr::null_mut(), 0, addresses, ADDRESSES, seed) as u32;
        if settings().is_some_and(|settings| settings.partial_checksums != 0) {
            let field = (&raw mut (*record).payload).cast::<u16>();
            if bpf_skb_load_bytes(skb.cast(), at + FIELD, field.cast(), 2) == 0
                && *field == fold(pseudo)
            {
                return true;
            }
        }
        let mut sum = Sum {
            skb,
            record,
            offset: at,
            length,
            sum: pseudo,
        };
        let chunks = length.div_ceil(PAYLOAD_CHUNK as u32);
        repeat(chunks, add_chunk, &raw mut sum);
        fold(sum.sum) == 0xffff
    }
}

/// Adds the next chunk of the segment.
#[inline(never)]
unsafe extern "C" fn add_chunk(index: u32, sum: *mut Sum) -> i64 {
    // SAFETY: the loop passes on the pointer to the caller's `Sum`.
    let sum = unsafe { &mut *sum };
    let done = index * PAYLOAD_CHUNK as u32;
    let rest = sum.length.wrapping_sub(done) as usize;
    // Never 0; the mask changes nothing but lets the verifier see the bounds.
    let length = (rest.min(PAYLOAD_CHUNK).wrapping_sub(1) & (PAYLOAD_CHUNK - 1)) + 1;
    // SAFETY: `length` is at most the size of the payload, and so is its multiple of four, for the
    // size is one itself; the word behind the last byte is zeroed first.
    unsafe {
        let payload = &raw mut (*sum.record).payload;
        let words = (length + 3) & !3 & (2 * PAYLOAD_CHUNK - 1);
        if !(4..=PAYLOAD_CHUNK).contains(&words) {
            return STOP;
        }
        *payload.cast::<u8>().add(words - 4).cast::<u32>() = 0;
        let to = payload.cast();
        if bpf_skb_load_bytes(sum.skb.cast(), sum.offset + done, to, length as u32) != 0 {
            return STOP;
        }
        let to = payload.cast();
        sum.sum = bpf_csum_diff(ptr::null_mut(), 0, to, words as u32, sum.sum) as u32;
    }
    GO_ON
}

/// 32 bits of ones' complement sum to 16 (RFC 1071), in memory order.
#[inline(always)]
const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
