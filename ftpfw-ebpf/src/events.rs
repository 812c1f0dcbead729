//! Records for the agent.

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ringbuf_output,
};
use ftpfw_common::{
    abi::{
        event::{Bytes, EventHeader, Kind, PAYLOAD_CHUNK, TICK},
        keys::{SessionKey, TupleKey},
        values::{Mode, Tuple},
    },
    reason::{Counter, Loss},
};

use crate::{
    count,
    maps::{EVENTS, Record, WOKEN, settings},
};

/// Those of a session's number.
pub const SESSION_BITS: u64 = (1 << 48) - 1;

const HEADER: usize = size_of::<EventHeader>();

/// What a record says beyond its kind; see [`Kind`] for the meaning.
#[derive(Clone, Copy, Default)]
pub struct Detail {
    pub port: u16,
    pub detail: u8,
    pub direction: u8,
    pub number: u32,
}

/// Sends a record without payload. A full ring buffer loses it, and that is counted.
#[inline(always)]
pub fn send(kind: Kind, session: u64, key: &SessionKey, now: u64, detail: Detail) {
    send_packed((kind as u64) << 48 | session, key, now, detail.packed());
}

impl Detail {
    /// In one word: functions of BPF take five at most.
    #[inline(always)]
    fn packed(self) -> u64 {
        u64::from(self.number) << 32
            | u64::from(self.port) << 16
            | u64::from(self.detail) << 8
            | u64::from(self.direction)
    }
}

/// Written straight into the ring buffer: a record is a good part of the 512 bytes of stack that all
/// frames share. Session numbers stay below 2^48: at a million a second for eight years.
#[inline(never)]
fn send_packed(kind_session: u64, key: &SessionKey, now: u64, detail: u64) {
    let Some(mut entry) = EVENTS.reserve::<EventHeader>(0) else {
        return count::add(Counter::Lost(Loss::EventsLost));
    };
    // SAFETY: the entry is memory for one header, aligned to 8.
    unsafe { fill(entry.as_mut_ptr(), kind_session, key, now, detail) };
    entry.submit(wake((kind_session >> 48) as u32, now));
}

/// Kinds that the agent acts upon: whose listener it is, and whose tuples go with one.
const URGENT: u32 =
    1 << Kind::Opaque as u32 | 1 << Kind::Listening as u32 | 1 << Kind::ListenerClosed as u32;

/// Whether a record wakes the agent: flags of `bpf_ringbuf_submit`.
///
/// A wake-up costs the packet that causes it more than all that is done with it here. What nobody waits for
/// may come a little later: each CPU wakes the agent once in [`TICK`] for it, and the agent looks again
/// `SECOND_LOOK` after it was woken. With `--opener agent`, clients wait.
#[inline(always)]
fn wake(kind: u32, now: u64) -> u64 {
    let Some(settings) = settings() else {
        return 0;
    };
    if settings.inline_opener == 0 {
        return 0;
    }
    if URGENT >> kind & 1 != 0 {
        return u64::from(BPF_RB_FORCE_WAKEUP);
    }
    let tick = now / TICK;
    let Some(last) = WOKEN.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's entry; a program that interrupts this one wakes once too often at worst.
    unsafe {
        // Or earlier: the coarse clock is behind the fine one.
        if tick <= *last {
            return u64::from(BPF_RB_NO_WAKEUP);
        }
        *last = tick;
    }
    u64::from(BPF_RB_FORCE_WAKEUP)
}

/// A header with what was counted of a connection behind it.
#[repr(C)]
struct Counted {
    header: EventHeader,
    bytes: Bytes,
}

/// As [`send_packed`], of [`Kind::Finished`].
#[inline(never)]
fn send_finished(session: u64, key: &SessionKey, now: u64, detail: u64, bytes: &Bytes) {
    let Some(mut entry) = EVENTS.reserve::<Counted>(0) else {
        return count::add(Counter::Lost(Loss::EventsLost));
    };
    // SAFETY: the entry is memory for a header and the bytes behind it, aligned to 8.
    unsafe {
        let counted = entry.as_mut_ptr();
        let kind_session = (Kind::Finished as u64) << 48 | session;
        fill(&raw mut (*counted).header, kind_session, key, now, detail);
        (*counted).header.length = size_of::<Bytes>() as u16;
        (*counted).bytes = *bytes;
    }
    entry.submit(wake(Kind::Finished as u32, now));
}

/// Writes every field.
///
/// # Safety
///
/// `event` is memory for a header.
#[inline(always)]
unsafe fn fill(
    event: *mut EventHeader,
    kind_session: u64,
    key: &SessionKey,
    now: u64,
    detail: u64,
) {
    // SAFETY: the caller's.
    unsafe {
        (*event).at = now;
        (*event).session = kind_session & SESSION_BITS;
        (*event).key = *key;
        (*event).kind = (kind_session >> 48) as u16;
        (*event).length = 0;
        (*event).sequence = (detail >> 32) as u32;
        (*event).number = (detail >> 32) as u32;
        (*event).port = (detail >> 16) as u16;
        (*event).direction = detail as u8;
        (*event).detail = (detail >> 8) as u8;
        (*event).reserved = 0;
    }
}

/// Sends a record with the first `length` bytes of its payload, at least one.
#[inline(always)]
pub fn send_payload(record: *mut Record, length: usize) {
    // Changes nothing but lets the verifier see the bounds.
    let length = (length.wrapping_sub(1) & (PAYLOAD_CHUNK - 1)) + 1;
    // SAFETY: the record is a map value of HEADER + PAYLOAD_CHUNK bytes, no fewer than are sent.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            record.cast(),
            (HEADER + length) as u64,
            wake(Kind::Payload as u32, (*record).header.at),
        )
    };
    if sent != 0 {
        count::add(Counter::Lost(Loss::EventsLost));
    }
}

/// A data connection is made: `connection` names both ports.
#[inline(never)]
pub fn claimed(connection: &TupleKey, tuple: &Tuple, now: u64) {
    let (key, detail) = data_connection(connection, tuple);
    send(Kind::Claimed, tuple.session, &key, now, detail);
}

/// A data connection is over.
#[inline(never)]
pub fn finished(connection: &TupleKey, tuple: &Tuple, bytes: &Bytes, now: u64) {
    let (key, detail) = data_connection(connection, tuple);
    send_finished(tuple.session, &key, now, detail.packed(), bytes);
}

#[inline(always)]
fn data_connection(connection: &TupleKey, tuple: &Tuple) -> (SessionKey, Detail) {
    let active = tuple.mode == Mode::Active as u8;
    let (port, other) = if active {
        (connection.client_port, connection.server_port)
    } else {
        (connection.server_port, connection.client_port)
    };
    let key = SessionKey {
        client: connection.client,
        server: connection.server,
        client_port: connection.client_port,
        server_port: connection.server_port,
    };
    let detail = Detail {
        port,
        detail: tuple.mode,
        direction: 0,
        number: u32::from(other),
    };
    (key, detail)
}
