//! One segment's new bytes through the engine, under `bpf_loop`.
//!
//! A loop that the verifier unrolls costs it about 1000 instructions a byte; a `bpf_loop` callback is
//! verified once. State lives in the session's map value, bytes in the record that goes to the
//! agent anyway.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use ftpfw_common::{
    abi::{
        event::{Direction, Kind, PAYLOAD_CHUNK},
        values::Session,
    },
    control::{ClientEvent, ServerEvent},
};

use crate::{
    clock, conclude, events,
    kernel::EARLY,
    maps::{Record, settings},
    repeat::{GO_ON, STOP, repeat},
    sessions,
};

/// What of a segment is new.
pub struct Fresh {
    /// Bytes of its payload that were seen before; less than it has.
    pub skip: u32,
    /// The daemon's socket is on this host.
    pub local: bool,
}

/// What the callbacks see. Lives on the stack of the program.
pub struct Walk {
    pub skb: *mut __sk_buff,
    pub session: *mut Session,
    pub record: *mut Record,
    /// Offset of the first new byte from the start of the frame.
    offset: u32,
    /// New bytes; at least one.
    length: u32,
    /// Sequence number of the first new byte.
    sequence: u32,
    pub local: u32,
}

/// Takes a segment of the client's through the engine, or only to the agent where that one opens.
/// `record` is this direction's and holds the segment.
#[inline(always)]
pub fn client(skb: *mut __sk_buff, session: *mut Session, record: *mut Record, fresh: &Fresh) {
    let Some(mut walk) = begin(skb, session, record, fresh, Direction::Client) else {
        return;
    };
    // SAFETY: the callback touches only what `walk` points to, all of which outlives the loop.
    unsafe { repeat(walk.length, client_byte, &raw mut walk) };
}

/// The same for a segment of the server's.
#[inline(always)]
pub fn server(skb: *mut __sk_buff, session: *mut Session, record: *mut Record, fresh: &Fresh) {
    let Some(mut walk) = begin(skb, session, record, fresh, Direction::Server) else {
        return;
    };
    // SAFETY: as above.
    unsafe { repeat(walk.length, server_byte, &raw mut walk) };
}

/// The walk, unless nothing is left to do: where the agent opens, it gets the bytes, and that is all.
#[inline(always)]
fn begin(
    skb: *mut __sk_buff,
    session: *mut Session,
    record: *mut Record,
    fresh: &Fresh,
    direction: Direction,
) -> Option<Walk> {
    let inline = !EARLY && settings()?.inline_opener != 0;
    // SAFETY: the record is this CPU's and this direction's; the session is a live map value.
    let tcp = unsafe {
        let header = &mut (*record).header;
        header.at = clock::coarse();
        let tcp = &(*record).segment;
        header.session = (*session).id;
        header.kind = Kind::Payload as u16;
        header.direction = direction as u8;
        header.number = tcp.acknowledgment;
        header.detail = u8::from(!fresh.local);
        tcp
    };
    let mut walk = Walk {
        skb,
        session,
        record,
        offset: tcp.payload as u32 + fresh.skip,
        length: tcp.payload_len() as u32 - fresh.skip,
        sequence: tcp.sequence.wrapping_add(fresh.skip),
        local: u32::from(fresh.local),
    };
    if inline {
        return Some(walk);
    }
    let chunks = walk.length.div_ceil(PAYLOAD_CHUNK as u32);
    // SAFETY: as in `client`.
    unsafe { repeat(chunks, forward_chunk, &raw mut walk) };
    None
}

/// Tells the agent what came a second time: the first bytes of it, which it can compare. `record` is
/// this direction's and holds the segment.
#[inline(never)]
pub fn repeated(
    skb: *mut __sk_buff,
    session: *mut Session,
    record: *mut Record,
    length: u32,
    direction: Direction,
) {
    // SAFETY: the record is this CPU's and nothing of it is borrowed; the session is a live map value
    // whose number never changes. `length` is at most the size of the payload.
    unsafe {
        let length =
            (length.min(PAYLOAD_CHUNK as u32).wrapping_sub(1) as usize & (PAYLOAD_CHUNK - 1)) + 1;
        let to = (&raw mut (*record).payload).cast();
        let from = (*record).segment.payload as u32;
        if bpf_skb_load_bytes(skb.cast(), from, to, length as u32) != 0 {
            return;
        }
        let sequence = (*record).segment.sequence;
        let header = &mut (*record).header;
        header.at = clock::coarse();
        header.session = (*session).id;
        header.kind = Kind::Repeated as u16;
        header.direction = direction as u8;
        header.length = length as u16;
        header.sequence = sequence;
        events::send_payload(record, length);
    }
}

/// Loads the chunk that begins `index` bytes into the segment, and sends it to the agent.
#[inline(always)]
unsafe fn load_chunk(walk: &Walk, index: u32) -> bool {
    let rest = walk.length.wrapping_sub(index) as usize;
    // Never 0; the mask changes nothing but lets the verifier see the bounds.
    let length = (rest.min(PAYLOAD_CHUNK).wrapping_sub(1) & (PAYLOAD_CHUNK - 1)) + 1;
    // SAFETY: `length` is at most the size of the payload; the helper checks the packet's end.
    unsafe {
        let to = (&raw mut (*walk.record).payload).cast();
        if bpf_skb_load_bytes(walk.skb.cast(), walk.offset + index, to, length as u32) != 0 {
            return false;
        }
        (*walk.record).header.length = length as u16;
        (*walk.record).header.sequence = walk.sequence.wrapping_add(index);
    }
    events::send_payload(walk.record, length);
    true
}

/// The byte `index` of the segment.
#[inline(always)]
unsafe fn byte(walk: &Walk, index: u32) -> Option<u8> {
    let at = index as usize % PAYLOAD_CHUNK;
    // SAFETY: the caller's walk; `at` is inside the payload.
    unsafe {
        if at == 0 && !load_chunk(walk, index) {
            return None;
        }
        Some((*walk.record).payload[at])
    }
}

/// One chunk to the agent, nothing else.
#[inline(never)]
unsafe extern "C" fn forward_chunk(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: the loop passes on the pointer to the walk on the program's stack.
    let loaded = unsafe { load_chunk(&*walk, index * PAYLOAD_CHUNK as u32) };
    if loaded { GO_ON } else { STOP }
}

/// One byte of the client's.
unsafe extern "C" fn client_byte(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `forward_chunk`. TC ingress alone writes the client's side; what it shares with
    // egress is atomic.
    unsafe {
        let walk = &*walk;
        let Some(byte) = byte(walk, index) else {
            return STOP;
        };
        let shared = &(*walk.session).shared;
        let client = &(*walk.record).header.key.client;
        match (*walk.session).client.byte(byte, shared, client) {
            ClientEvent::None => {}
            ClientEvent::Arm { port, by } => conclude::arm_active(walk, port, by),
            ClientEvent::Refused(refusal) => conclude::refuse(walk, refusal, 0),
        }
    }
    GO_ON
}

/// One byte of the server's.
unsafe extern "C" fn server_byte(index: u32, walk: *mut Walk) -> i64 {
    // SAFETY: as in `client_byte`, with the server's side, which TC egress alone writes.
    unsafe {
        let walk = &*walk;
        let Some(byte) = byte(walk, index) else {
            return STOP;
        };
        let shared = &(*walk.session).shared;
        match (*walk.session).server.byte(byte, shared) {
            ServerEvent::None | ServerEvent::LoggedIn => {}
            ServerEvent::ArmPassive { port, by } => conclude::arm_passive(walk, port, by),
            ServerEvent::ArmActive { port, by } => conclude::arm_active(walk, port, by),
            ServerEvent::WithdrawActive { port } => conclude::withdraw_active(walk, port),
            ServerEvent::Withdraw(cause) => conclude::withdraw(walk, cause),
            ServerEvent::Refused(refusal) => conclude::refuse(walk, refusal, 0),
            ServerEvent::Opaque => {
                let header = &(*walk.record).header;
                let session = &*walk.session;
                sessions::became_opaque(session, &header.key, header.at, Direction::Server);
            }
            ServerEvent::Plain => {
                let header = &(*walk.record).header;
                sessions::became_plain(&*walk.session, &header.key, header.at);
            }
        }
    }
    GO_ON
}
