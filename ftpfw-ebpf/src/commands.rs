//! The client's direction of control connections: TC ingress.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use aya_log_ebpf::debug;
use ftpfw_common::{
    abi::{
        event::{Direction, Kind},
        keys::SessionKey,
        policy::port,
        values::Session,
    },
    packet::{self, Packet, Tcp, Transport, transport::flag},
    reason::{Counter, Loss, Reason},
    stream::{Placement, Sequence, place},
};

use crate::{
    checksum, clock, count,
    cursor::PacketCursor,
    events::{self, Detail},
    lookup,
    maps::{self, PORTS, Record},
    sessions::{self, Birth},
    walk::{self, Fresh},
};

/// Follows a segment to a local control port; a reason when it must not go on.
#[inline(always)]
pub fn follow(ctx: &TcContext) -> Option<Reason> {
    let skb = ctx.skb.skb;
    let record = maps::record(Direction::Client)?;
    if !is_command(skb, record) {
        None
    } else if !checksum::is_right(skb, record) {
        Some(Reason::ControlChecksum)
    } else if !segment(skb, record) {
        debug!(ctx, "a control segment came out of order");
        Some(Reason::ControlOutOfOrder)
    } else {
        None
    }
}

/// Whether a packet is a segment to a local control port; if so, it goes into the record. A
/// function of its own, so that its stack is free again, and what the verifier knows of the headers
/// forgotten, when the rest runs.
#[inline(never)]
fn is_command(skb: *mut __sk_buff, record: *mut Record) -> bool {
    let cursor = PacketCursor::skb(&TcContext::new(skb));
    let Ok(Packet {
        network,
        transport: Transport::Tcp(tcp),
    }) = packet::parse(&cursor)
    else {
        return false;
    };
    let control = PORTS
        .get(u32::from(tcp.destination))
        .is_some_and(|entry| entry.policy() & port::CONTROL != 0);
    if !control {
        return false;
    }
    let (client, server) = (network.source(&cursor), network.destination(&cursor));
    // SAFETY: this CPU's and this direction's record; nothing of it is borrowed.
    let record = unsafe { &mut *record };
    record.header.key = SessionKey {
        client,
        server,
        client_port: tcp.source,
        server_port: tcp.destination,
    };
    record.segment = tcp;
    true
}

/// Takes a segment; `false` when it would leave a hole.
#[inline(never)]
fn segment(skb: *mut __sk_buff, record: *mut Record) -> bool {
    // SAFETY: the caller's record, a live map value that nobody writes meanwhile.
    let (key, tcp) = unsafe { (&(*record).header.key, &(*record).segment) };
    let Some(session) = find(skb, key, tcp) else {
        return true;
    };
    let sequence = Sequence(tcp.sequence);
    let length = tcp.payload_len() as u32;
    if tcp.has(flag::RST) {
        // SAFETY: a live map value; TC ingress alone writes the client's side.
        let session = unsafe { &*session };
        // RFC 5961 §3.2: only a RST with exactly the number expected is one.
        if sequence == session.client.next() {
            sessions::ends(session, key, clock::coarse());
        }
        return true;
    }
    if length > 0 {
        rewind(skb, session, key, sequence);
        match arrives(skb, session, record, length) {
            Placement::Old => again(skb, session, record, length),
            Placement::Hole => return false,
            Placement::Next { skip } => {
                if skip > 0 {
                    again(skb, session, record, skip);
                }
                walk::client(skb, session, record, &Fresh { skip, local: true });
                // SAFETY: as above.
                unsafe { (*session).client.advance(sequence.plus(length)) };
            }
        }
    }
    // SAFETY: as above.
    if tcp.has(flag::FIN) && sequence.plus(length) == unsafe { (*session).client.next() } {
        // SAFETY: as above; nothing of the session is borrowed mutably any more.
        sessions::ends(unsafe { &*session }, key, clock::coarse());
    }
    true
}

/// A segment that begins with what was read already: TCP may have thrown that away the first time
/// (a flag, an option, a checksum of the IP header …). Then it was no command, and this one is. What
/// TCP wants next tells; for a daemon behind this host, what it acknowledged.
#[inline(always)]
fn rewind(skb: *mut __sk_buff, session: *mut Session, key: &SessionKey, sequence: Sequence) {
    // SAFETY: a live map value; TC ingress alone writes the client's side.
    let client = unsafe { &(*session).client };
    if !client.next().is_after(sequence) || !client.can_rewind() {
        return;
    }
    // SAFETY: as above; `shared` is atomic.
    let acknowledged = unsafe { (*session).shared.acknowledged() };
    let wanted = lookup::find_past(skb.cast(), key).map_or(acknowledged, |past| past.next);
    // Behind a hole of TCP's there is nothing to be had from this segment.
    if client.next().is_after(Sequence(wanted)) && !sequence.is_after(Sequence(wanted)) {
        sessions::rewind(session, key, Sequence(wanted));
    }
}

/// The first `length` bytes came before. The agent compares: a copy that differs is an attack, or a
/// very broken stack (ATTACKS 19).
#[inline(always)]
fn again(skb: *mut __sk_buff, session: *mut Session, record: *mut Record, length: u32) {
    count::add(Counter::Lost(Loss::Retransmitted));
    walk::repeated(skb, session, record, length, Direction::Client);
}

/// Where a segment lies. Bytes that TCP has and the follower never saw (they came by another interface,
/// or before a restart) are given up: the server acknowledged them, or this segment is the one that its TCP
/// wants. Otherwise a hole is for TCP to fill.
#[inline(always)]
fn arrives(
    skb: *mut __sk_buff,
    session: *mut Session,
    record: *mut Record,
    length: u32,
) -> Placement {
    // SAFETY: live map values; TC ingress alone writes the client's side, `shared` is atomic.
    let (client, shared, id, key, sequence) = unsafe {
        (
            &mut (*session).client,
            &(*session).shared,
            (*session).id,
            &(*record).header.key,
            Sequence((*record).segment.sequence),
        )
    };
    let placement = place(client.next(), sequence, length);
    if placement != Placement::Hole {
        return placement;
    }
    let mut acknowledged = Sequence(shared.acknowledged());
    if !acknowledged.is_after(client.next()) {
        if lookup::find_past(skb.cast(), key).is_none_or(|past| past.next != sequence.0) {
            return placement;
        }
        acknowledged = sequence;
    }
    let from = if sequence.is_after(acknowledged) {
        acknowledged
    } else {
        sequence
    };
    client.resynchronise(from, shared);
    count::add(Counter::Lost(Loss::Gap));
    let detail = Detail {
        number: from.0,
        direction: Direction::Client as u8,
        ..Detail::default()
    };
    events::send(Kind::Gap, id, key, clock::coarse(), detail);
    place(from, sequence, length)
}

/// The session of this segment. A client's bytes make one only where the connection is known to
/// the kernel: a flood of forged segments makes none.
#[inline(always)]
fn find(skb: *mut __sk_buff, key: &SessionKey, tcp: &Tcp) -> Option<*mut Session> {
    if let Some(session) = maps::session(key) {
        return Some(session);
    }
    if tcp.payload_len() == 0 || tcp.has(flag::RST) {
        return None;
    }
    let past = lookup::find_past(skb.cast(), key)?;
    let birth = Birth {
        // Not where this segment begins: TCP throws away what is not the next, or keeps it for later.
        client_next: Sequence(past.next),
        server_next: Sequence(tcp.acknowledgment),
        adopted: past.sent > 0,
        unread: past.received > 0,
        doubtful: false,
        direction: Direction::Client,
    };
    sessions::born(key, &birth)
}
