//! Birth and end of sessions.

use core::ptr;

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_get_smp_processor_id};
use ftpfw_common::{
    Address,
    abi::{
        event::{Cause, Direction, Kind, opened},
        keys::{PairKey, SessionKey, TupleKey},
        policy::port,
        values::{Mode, Session},
    },
    control::{Rewound, State},
    reason::{Counter, Loss, Refusal},
    stream::Sequence,
};

use crate::{
    atomic,
    clients::{self, Counted},
    clock, count,
    events::{self, Detail, SESSION_BITS},
    kernel::EARLY,
    listeners,
    maps::{self, LAST_SESSION, NEW_SESSION, OPAQUE, PORTS, SESSIONS},
    tally, tuples,
};

/// What is known of a session at its first segment.
pub struct Birth {
    /// Sequence number of the client's byte that comes next.
    pub client_next: Sequence,
    /// Sequence number of the server's byte that comes next.
    pub server_next: Sequence,
    /// The server spoke before ftpfw looked.
    pub adopted: bool,
    /// The client did, and nobody read it.
    pub unread: bool,
    /// Whether the client did nobody tells.
    pub doubtful: bool,
    /// Who asks: keeps the scratch of ingress and egress apart.
    pub direction: Direction,
}

/// Makes a session. `None` when the map is full, which is counted.
#[inline(never)]
pub fn born(key: &SessionKey, birth: &Birth) -> Option<*mut Session> {
    if !clients::may_have_more(&key.client, Counted::Sessions) {
        count::add(Counter::Refused(Refusal::SessionsPerClient));
        return None;
    }
    let last = LAST_SESSION.get_ptr_mut(0)?;
    let stored = NEW_SESSION.get_ptr_mut(birth.direction as u32)?;
    let scratch = stored.cast::<Session>();
    let now = clock::coarse();
    // SAFETY: the scratch is this CPU's and this direction's; zero bytes are a value of `Session`.
    // The counter is an aligned u64 that is changed by atomics only.
    let session = unsafe {
        zero(scratch.cast());
        (*scratch).id = next_number(last, birth.direction);
        &mut *scratch
    };
    // Exactly: a listener opened in the same few ms may be older.
    session.born_at = clock::fine();
    session
        .shared
        .set_daemon(listeners::daemon_of(key.server_port));
    session.shared.acknowledge(birth.client_next.0);
    if birth.adopted {
        session.shared.set(State::ADOPTED);
        session.shared.adopt();
    }
    let unread = birth.adopted || birth.unread;
    session
        .client
        .start(birth.client_next, &session.shared, unread);
    if birth.doubtful {
        session.client.doubt();
    }
    session.server.start(birth.server_next);
    let opaque = PORTS
        .get(u32::from(key.server_port))
        .is_some_and(|entry| entry.policy() & port::IMPLICIT_TLS != 0);
    if opaque {
        session.shared.set(State::OPAQUE);
    }
    let id = session.id;
    // SAFETY: as above; the borrow of the session is over.
    let stored = unsafe { &*stored };
    // Before it appears: its end may be seen on another CPU at once.
    clients::count_up(&key.client, Counted::Sessions);
    if SESSIONS
        .insert(key, stored, u64::from(BPF_NOEXIST))
        .is_err()
    {
        clients::count_down(&key.client, Counted::Sessions);
        // Another CPU was first, or the map is full.
        let other = maps::session(key);
        if other.is_none() {
            count::add(Counter::Refused(Refusal::SessionsFull));
        }
        return other;
    }
    let mut number = 0;
    if birth.adopted {
        number |= opened::ADOPTED;
    }
    if unread {
        number |= opened::UNREAD;
    }
    if birth.doubtful {
        number |= opened::DOUBTFUL;
    }
    let detail = Detail {
        number,
        ..Detail::default()
    };
    events::send(Kind::Opened, id, key, now, detail);
    let session = maps::session(key)?;
    if opaque {
        // SAFETY: a live map value; only what never changes is read.
        became_opaque(unsafe { &*session }, key, now, Direction::Client);
    }
    Some(session)
}

/// The number of a new session. `last` is not below any before.
///
/// An addition of an early kernel does not tell what it came to, and another CPU may read the same `last`
/// before. So there the lower bits are those of the CPU (of 8192 at most) and the direction, which is not
/// interrupted by its own kind; and who asks adds before it reads again, and never reads the same twice.
/// There are numbers for 2^34 sessions then.
///
/// # Safety
/// `last` is an aligned word of a live map value that is changed by atomics only.
#[inline(always)]
unsafe fn next_number(last: *mut u64, direction: Direction) -> u64 {
    const STEP: u64 = 1 << 14;
    // SAFETY: the caller's; the helper has no argument and no effect.
    unsafe {
        if !EARLY {
            return atomic::fetch_add(last, 1) + 1;
        }
        let before = ptr::read_volatile(last);
        atomic::add(last, STEP);
        let who = u64::from(bpf_get_smp_processor_id()) << 1 | direction as u64;
        ((before + STEP) & !(STEP - 1) | who & (STEP - 1)) & SESSION_BITS
    }
}

const WORDS: usize = size_of::<Session>() / size_of::<u64>();

/// Zeroes a session word by word: BPF has no `memset`.
///
/// # Safety
/// `words` are the words of one session.
#[inline(always)]
unsafe fn zero(words: *mut u64) {
    const { assert!(size_of::<Session>().is_multiple_of(size_of::<u64>())) }
    for at in 0..WORDS {
        // SAFETY: the caller's. Volatile, or LLVM makes a call to `memset` of it again.
        unsafe { ptr::write_volatile(words.add(at), 0) };
    }
}

/// The session is TLS from here on: the server said so, or (`direction` is the client's) it is on a
/// port where it always was.
#[inline(never)]
pub fn became_opaque(session: &Session, key: &SessionKey, now: u64, direction: Direction) {
    let pair = PairKey {
        client: key.client,
        server: key.server,
    };
    // Full: the client's active transfers from port 20 are refused, and counted there.
    if let Some(count) = tally::entry(&OPAQUE, &pair, &0) {
        // SAFETY: an aligned u64 of a live map value that is changed by atomics only.
        unsafe { atomic::add(count, 1) };
    }
    listeners::entitle(key, session.shared.daemon(), session.born_at);
    let detail = Detail {
        direction: direction as u8,
        ..Detail::default()
    };
    events::send(Kind::Opaque, session.id, key, now, detail);
}

/// The session is plain text again, after CCC.
#[inline(always)]
pub fn became_plain(session: &Session, key: &SessionKey, now: u64) {
    forget_opaque(key, session.shared.daemon());
    let detail = Detail {
        direction: Direction::Server as u8,
        ..Detail::default()
    };
    events::send(Kind::Plain, session.id, key, now, detail);
}

/// Withdraws what the session has armed and nobody claimed.
#[inline(never)]
pub fn withdraw(session: &Session, key: &SessionKey, cause: Cause, now: u64) {
    let passive = session.shared.passive_port();
    if passive != 0 {
        withdraw_one(session.id, key, Named::passive(passive), cause, now);
    }
    let active = session.shared.active_port();
    if active != 0 {
        withdraw_one(session.id, key, Named::active(active), cause, now);
    }
}

/// TCP threw away what was read of the client's from `next` on.
#[inline(never)]
pub fn rewind(session: *mut Session, key: &SessionKey, next: Sequence) {
    let now = clock::coarse();
    // SAFETY: a live map value; TC ingress, which calls this, alone writes the client's side, and
    // `shared` is atomic.
    let (client, shared) = unsafe { (&mut (*session).client, &(*session).shared) };
    // SAFETY: as above; it never changes.
    let id = unsafe { (*session).id };
    count::add(Counter::Lost(Loss::Rewound));
    let rewound = client.rewind(next, shared);
    let detail = Detail {
        number: next.0,
        direction: Direction::Client as u8,
        ..Detail::default()
    };
    events::send(Kind::Rewound, id, key, now, detail);
    if rewound == Rewound::Armed {
        let port = shared.active_port();
        withdraw_one(id, key, Named::active(port), Cause::Discarded, now);
    }
}

/// A tuple of a session, by mode and port in one word: five arguments are all that BPF passes.
#[derive(Clone, Copy)]
pub struct Named(u32);

impl Named {
    const ACTIVE: u32 = 1 << 16;

    pub const fn passive(server_port: u16) -> Self {
        Self(server_port as u32)
    }

    pub const fn active(client_port: u16) -> Self {
        Self(client_port as u32 | Self::ACTIVE)
    }
}

/// Withdraws one tuple of the session, and tells the agent if it was there.
#[inline(never)]
pub fn withdraw_one(id: u64, key: &SessionKey, named: Named, cause: Cause, now: u64) {
    let port = named.0 as u16;
    let active = named.0 & Named::ACTIVE != 0;
    let tuple = TupleKey {
        client: key.client,
        server: key.server,
        client_port: if active { port } else { 0 },
        server_port: if active { 0 } else { port },
    };
    if tuples::withdraw(&tuple, id) {
        let mode = if active { Mode::Active } else { Mode::Passive };
        let detail = Detail {
            port,
            detail: mode as u8,
            number: cause as u32,
            direction: 0,
        };
        events::send(Kind::Withdrawn, id, key, now, detail);
    }
}

/// The control connection ends: nothing is armed any more, what was is withdrawn.
#[inline(always)]
pub fn ends(session: &Session, key: &SessionKey, now: u64) {
    session.shared.set(State::ENDED);
    withdraw(session, key, Cause::ControlClosed, now);
}

/// The control connection is over.
#[inline(never)]
pub fn remove(session: &Session, key: &SessionKey, now: u64) {
    let id = session.id;
    let opaque = session.shared.state().has(State::OPAQUE);
    ends(session, key, now);
    if SESSIONS.remove(key).is_err() {
        return;
    }
    clients::count_down(&key.client, Counted::Sessions);
    if opaque {
        forget_opaque(key, session.shared.daemon());
    }
    events::send(Kind::Closed, id, key, now, Detail::default());
}

/// A session whose end nobody told: it is only removed if it has ended. Whether it was there.
#[inline(always)]
pub fn forget(key: &SessionKey) -> bool {
    let Some(session) = maps::session(key) else {
        return false;
    };
    // SAFETY: a live map value; only what is atomic or never changes is read.
    let session = unsafe { &*session };
    let ended = session.shared.state().has(State::ENDED);
    if ended {
        remove(session, key, clock::fine());
    }
    ended
}

/// The agent, which opens, found that the session of this number turned to TLS, or back to plain text. Whether
/// it is there, and was not so before.
#[inline(always)]
pub fn turned(key: &SessionKey, id: u64, opaque: bool) -> bool {
    let Some(session) = maps::session(key) else {
        return false;
    };
    // SAFETY: a live map value; only what is atomic or never changes is read.
    let session = unsafe { &*session };
    if session.id != id || session.shared.state().has(State::OPAQUE) == opaque {
        return false;
    }
    let now = clock::fine();
    if !opaque {
        session.shared.clear(State::OPAQUE);
        became_plain(session, key, now);
        return true;
    }
    session.shared.set(State::OPAQUE);
    let daemon = session.shared.daemon();
    became_opaque(session, key, now, Direction::Server);
    // Its end may have come meanwhile, and found nothing to take back. If it did, this is one too few of what
    // the client may do, not one too many.
    let is_there = maps::session(key).is_some_and(|it| {
        // SAFETY: as above.
        unsafe { (*it).id == id }
    });
    if !is_there {
        forget_opaque(key, daemon);
    }
    is_there
}

#[inline(always)]
fn forget_opaque(key: &SessionKey, daemon: u32) {
    listeners::disentitle(key, daemon);
    let pair = PairKey {
        client: key.client,
        server: key.server,
    };
    if let Some(count) = OPAQUE.get_ptr_mut(pair) {
        // SAFETY: as in `became_opaque`.
        unsafe { tally::take(count) };
    }
}

/// The client has an opaque session on this server.
#[inline(always)]
pub fn has_opaque(client: &Address, server: &Address) -> bool {
    let pair = PairKey {
        client: *client,
        server: *server,
    };
    // SAFETY: one word is read.
    unsafe { OPAQUE.get(pair) }.is_some_and(|count| tally::is_some(*count))
}
