//! `sock:inet_sock_set_state`: what really became of a connection.

use aya_ebpf::programs::TracePointContext;
use ftpfw_common::{
    Address,
    abi::{
        event::{Cause, Kind},
        keys::{SessionKey, TupleKey},
        policy::port,
    },
};

use crate::{
    clock,
    events::{self, Detail},
    lookup::{TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT},
    maps::{self, ARMED, LAST_ARMED, PORTS},
    sessions, tuples,
};

const AF_INET: u16 = 2;
const IPPROTO_TCP: u16 = 6;

/// A change of state, as `include/trace/events/sock.h` lays it out. Ports in host byte order.
struct Change {
    old: u32,
    new: u32,
    local: Address,
    remote: Address,
    local_port: u16,
    remote_port: u16,
}

impl Change {
    #[inline(always)]
    fn read(ctx: &TracePointContext) -> Option<Self> {
        // SAFETY: offsets and types are those of the tracepoint's format; `read_at` copies with a
        // helper that fails on a bad address.
        unsafe {
            if ctx.read_at::<u16>(30).ok()? != IPPROTO_TCP {
                return None;
            }
            let (local, remote) = if ctx.read_at::<u16>(28).ok()? == AF_INET {
                (
                    Address::v4_word(ctx.read_at(32).ok()?),
                    Address::v4_word(ctx.read_at(36).ok()?),
                )
            } else {
                // A dual-stack socket's addresses are v4-mapped already.
                (
                    Address::from_words(ctx.read_at(40).ok()?),
                    Address::from_words(ctx.read_at(56).ok()?),
                )
            };
            Some(Self {
                old: ctx.read_at(16).ok()?,
                new: ctx.read_at(20).ok()?,
                local,
                remote,
                local_port: ctx.read_at(24).ok()?,
                remote_port: ctx.read_at(26).ok()?,
            })
        }
    }

    /// The connection with both its ports, as `CLAIMED` holds it.
    #[inline(always)]
    fn connection(&self) -> TupleKey {
        TupleKey {
            client: self.remote,
            server: self.local,
            client_port: self.remote_port,
            server_port: self.local_port,
        }
    }
}

/// Follows data connections, listeners and control connections to their ends.
#[inline(always)]
pub fn state_changed(ctx: &TracePointContext) {
    let Some(change) = Change::read(ctx) else {
        return;
    };
    match (change.old, change.new) {
        (TCP_SYN_RECV, TCP_ESTABLISHED) => {
            let tuple = TupleKey::passive(change.remote, change.local, change.local_port);
            tuples::claim(&tuple, &change.connection(), clock::fine());
        }
        (TCP_SYN_SENT, TCP_ESTABLISHED) => {
            let tuple = TupleKey::active(change.remote, change.remote_port, change.local);
            tuples::claim(&tuple, &change.connection(), clock::fine());
        }
        (TCP_LISTEN, TCP_CLOSE) => listener_closed(&change),
        (_, TCP_CLOSE) => closed(&change),
        _ => {}
    }
}

/// The listener behind an armed port is gone: so is its tuple.
#[inline(always)]
fn listener_closed(change: &Change) {
    let port = u32::from(change.local_port);
    let armed = PORTS.get(port).map_or(0, |entry| entry.armed());
    if armed == 0 {
        return;
    }
    let Some(last) = LAST_ARMED.get(port) else {
        return;
    };
    let tuple = *last;
    if tuple.server != change.local && !change.local.is_unspecified() {
        return;
    }
    let now = clock::fine();
    // SAFETY: copied at once.
    let Some(owner) = unsafe { ARMED.get(tuple) }.copied() else {
        return;
    };
    let key = SessionKey {
        client: tuple.client,
        server: tuple.server,
        client_port: 0,
        server_port: change.local_port,
    };
    if tuples::remove(&tuple) {
        let detail = Detail {
            port: change.local_port,
            detail: owner.mode,
            number: Cause::ListenerClosed as u32,
            direction: 0,
        };
        events::send(Kind::Withdrawn, owner.session, &key, now, detail);
    }
    if armed > 1 {
        // A listener that several clients were sent to: the agent finds the others.
        let detail = Detail {
            number: armed - 1,
            ..Detail::default()
        };
        events::send(Kind::ListenerClosed, 0, &key, now, detail);
    }
}

/// A connection is over: a control connection takes its session along, a data connection its record.
#[inline(always)]
fn closed(change: &Change) {
    let policy = PORTS
        .get(u32::from(change.local_port))
        .map_or(0, |entry| entry.policy());
    if policy & port::CONTROL == 0 {
        return tuples::finish(&change.connection(), clock::fine());
    }
    let key = SessionKey {
        client: change.remote,
        server: change.local,
        client_port: change.remote_port,
        server_port: change.local_port,
    };
    if let Some(session) = maps::session(&key) {
        // SAFETY: a live map value; only what is atomic or never changes is read.
        sessions::remove(unsafe { &*session }, &key, clock::fine());
    }
}
