//! `sock:inet_sock_set_state`: what really became of a connection.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::TracePointContext};
use ftpfw_common::{
    Address,
    abi::{
        event::{Cause, Kind},
        keys::{SessionKey, TupleKey},
        policy::port,
        values::PortEntry,
    },
};

use crate::{
    atomic, clock,
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
        (TCP_CLOSE, TCP_LISTEN) => listener_opened(&change),
        (TCP_LISTEN, TCP_CLOSE) => listener_closed(&change),
        (_, TCP_CLOSE) => closed(&change),
        _ => {}
    }
}

/// Somebody listens on a protected port: the agent finds out who.
#[inline(always)]
fn listener_opened(change: &Change) {
    if policy(change.local_port) & port::PROTECTED_TCP == 0 {
        return;
    }
    let key = SessionKey {
        client: Address::UNSPECIFIED,
        server: change.local,
        client_port: 0,
        server_port: change.local_port,
    };
    // From CLOSE to LISTEN the current process is the one that called listen().
    let detail = Detail {
        number: (bpf_get_current_pid_tgid() >> 32) as u32,
        ..Detail::default()
    };
    events::send(Kind::Listening, 0, &key, clock::fine(), detail);
}

#[inline(always)]
fn policy(number: u16) -> u32 {
    PORTS
        .get(u32::from(number))
        .map_or(0, |entry| entry.policy())
}

/// Whoever listened there, the next one may be the daemon.
#[inline(always)]
fn forget_foreign(number: u16) {
    if policy(number) & port::FOREIGN != 0
        && let Some(entry) = PORTS.get_ptr_mut(u32::from(number))
    {
        // SAFETY: an aligned word of an array map that is changed by atomics only.
        unsafe { atomic::and(entry.cast(), !PortEntry::new(0, port::FOREIGN).0) };
    }
}

/// The listener behind an armed port is gone: so is its tuple.
#[inline(always)]
fn listener_closed(change: &Change) {
    forget_foreign(change.local_port);
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
    if policy(change.local_port) & port::CONTROL == 0 {
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
