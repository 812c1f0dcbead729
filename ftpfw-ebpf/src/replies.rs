//! The server's direction of control connections: TC egress. Nothing of it is ever held back.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use ftpfw_common::{
    abi::{
        event::{Direction, Kind},
        values::Session,
    },
    control::State,
    packet::{Cursor as _, Tcp, View as _, transport::flag},
    reason::{Counter, Loss},
    stream::{Placement, Sequence, place},
};

use crate::{
    clock, count,
    cursor::PacketCursor,
    events::{self, Detail},
    lookup,
    maps::{self, Record},
    sessions::{self, Birth},
    walk::{self, Fresh},
};

/// The second and third digit of 220 and 120 (RFC 959 §5.4).
const GREETING: u16 = u16::from_be_bytes(*b"20");

/// Whether a segment begins with a greeting: 220, or 120 before it (RFC 959 §5.4).
#[inline(always)]
pub fn greets(cursor: &PacketCursor, tcp: &Tcp) -> bool {
    cursor
        .view::<3>(tcp.payload)
        .is_some_and(|text| matches!((text.u8::<0>(), text.be16::<1>()), (b'1' | b'2', GREETING)))
}

/// Follows a segment from a local control port.
#[inline(never)]
pub fn segment(skb: *mut __sk_buff, record: *mut Record) {
    // SAFETY: the caller's record, a live map value that nobody writes meanwhile.
    let (key, tcp) = unsafe { (&(*record).header.key, &(*record).segment) };
    if tcp.has(flag::SYN) {
        // Whoever answers a SYN has no connection with these ends. For a daemon behind this host, whose
        // sockets nobody sees, that is the first word of it.
        sessions::forget(key);
        return;
    }
    let length = tcp.payload_len() as u32;
    let socket = lookup::sender(skb);
    let session = match maps::session(key) {
        Some(session) => session,
        None if length == 0 || tcp.has(flag::RST) => return,
        None => match meet(skb, record, socket) {
            Some(session) => session,
            None => return,
        },
    };
    // SAFETY: a live map value; `shared` is atomic.
    unsafe { (*session).shared.acknowledge(tcp.acknowledgment) };
    if length > 0 {
        take(skb, session, record, !socket.is_null());
    }
    if tcp.flags & (flag::FIN | flag::RST) != 0 {
        // SAFETY: as above; nothing of the session is borrowed mutably any more.
        sessions::ends(unsafe { &*session }, key, clock::coarse());
    }
}

/// A session is born with the server's first payload.
///
/// That the client spoke before proves nothing: bytes in the last segment of its handshake, or behind a lost
/// one, reach TCP's new socket before anybody else can find that.
#[inline(always)]
fn meet(skb: *mut __sk_buff, record: *mut Record, socket: *mut bpf_sock) -> Option<*mut Session> {
    // SAFETY: as in `segment`.
    let record = unsafe { &*record };
    let tcp = &record.segment;
    let (adopted, unread) = if socket.is_null() {
        // The daemon is behind this host: what it says first must tell.
        (record.greets == 0, false)
    } else {
        // SAFETY: not null, and a full socket.
        let past = unsafe { lookup::past(socket) }?;
        // SAFETY: the context is valid during the program.
        let now = unsafe { (*skb).gso_segs }.max(1);
        (past.sent > now, past.received > 0)
    };
    let birth = Birth {
        client_next: Sequence(tcp.acknowledgment),
        server_next: Sequence(tcp.sequence),
        adopted,
        unread,
        doubtful: socket.is_null(),
        direction: Direction::Server,
    };
    sessions::born(&record.header.key, &birth)
}

/// Takes what is new of a segment.
#[inline(always)]
fn take(skb: *mut __sk_buff, session: *mut Session, record: *mut Record, local: bool) {
    // SAFETY: live map values; TC egress alone writes the server's side, `shared` is atomic.
    let (server, shared, id, key, tcp) = unsafe {
        let session = &mut *session;
        (
            &mut session.server,
            &session.shared,
            session.id,
            &(*record).header.key,
            &(*record).segment,
        )
    };
    let sequence = Sequence(tcp.sequence);
    let length = tcp.payload_len() as u32;
    if !server.has_begun() && !shared.state().has(State::ADOPTED) {
        server.start(sequence);
    }
    let skip = match place(server.next(), sequence, length) {
        Placement::Old => return count::add(Counter::Lost(Loss::Retransmitted)),
        Placement::Next { skip } => skip,
        Placement::Hole => {
            server.resynchronise(sequence, shared);
            count::add(Counter::Lost(Loss::Gap));
            let detail = Detail {
                number: sequence.0,
                direction: Direction::Server as u8,
                ..Detail::default()
            };
            events::send(Kind::Gap, id, key, clock::coarse(), detail);
            0
        }
    };
    walk::server(skb, session, record, &Fresh { skip, local });
    // SAFETY: as above; the borrow of the server's side ended before the walk.
    unsafe { (*session).server.advance(sequence.plus(length)) };
}
