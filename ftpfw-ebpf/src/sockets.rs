//! `inet_sock_set_state`: what really became of a connection.

use core::ptr;

use aya_ebpf::programs::RawTracePointContext;
use ftpfw_common::{
    Address,
    abi::{
        event::{Bytes, Cause, Kind},
        keys::{ListenerKey, SessionKey, TupleKey},
        policy::port,
    },
};

use crate::{
    clock,
    events::{self, Detail},
    kernel::{KERNEL_LAYOUT, field},
    listeners,
    lookup::{
        TCP_CLOSE, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN,
        TCP_SYN_RECV, TCP_SYN_SENT,
    },
    maps::{self, ARMED, LAST_ARMED, PORTS, TOLD},
    processes, sessions, tables, tuples,
};

const AF_INET: u16 = 2;
const IPPROTO_TCP: u16 = 6;
/// `SOCK_DONE` of `enum sock_flags` (`include/net/sock.h`): the other end's FIN has come.
const SOCK_DONE: u64 = 1 << 1;

/// A change of state of a socket of ours. Ports in host byte order.
struct Change {
    /// Address of the `struct sock`.
    socket: usize,
    old: u32,
    new: u32,
    local: Address,
    remote: Address,
    local_port: u16,
    remote_port: u16,
}

impl Change {
    /// The arguments are `struct sock *sk, int oldstate, int newstate` (`include/trace/events/sock.h`).
    /// `None` for sockets of other protocols, and of other network namespaces: those have addresses
    /// and ports of their own, which may be the same.
    #[inline(always)]
    fn read(ctx: &RawTracePointContext) -> Option<Self> {
        let layout = KERNEL_LAYOUT.load();
        let socket = ctx.arg::<u64>(0) as usize;
        let protocol: u16 = field(socket, layout.protocol)?;
        let net: u64 = field(socket, layout.net)?;
        let namespace: u32 = field(net as usize, layout.inum)?;
        if protocol != IPPROTO_TCP || namespace != layout.namespace {
            return None;
        }
        let family: u16 = field(socket, layout.family)?;
        let (local, remote) = if family == AF_INET {
            (
                Address::v4_word(field(socket, layout.local_v4)?),
                Address::v4_word(field(socket, layout.remote_v4)?),
            )
        } else {
            // A dual-stack socket's addresses are v4-mapped already.
            (
                Address::from_words(field(socket, layout.local_v6)?),
                Address::from_words(field(socket, layout.remote_v6)?),
            )
        };
        Some(Self {
            socket,
            old: ctx.arg::<i32>(1) as u32,
            new: ctx.arg::<i32>(2) as u32,
            local,
            remote,
            local_port: u16::from_be(field(socket, layout.local_port)?),
            remote_port: u16::from_be(field(socket, layout.remote_port)?),
        })
    }

    /// The listening socket, as `LISTENERS` holds it.
    #[inline(always)]
    fn listener(&self) -> ListenerKey {
        ListenerKey::new(self.local, self.local_port)
    }

    /// What went over a connection that is over. The kernel counts FIN and, of a connection that this host
    /// opened, SYN as bytes too (`tcp_snd_una_update`, `tcp_rcv_nxt_update`): [`tuples::finish`] takes off
    /// the latter.
    #[inline(always)]
    fn bytes(&self) -> Bytes {
        let layout = KERNEL_LAYOUT.load();
        let word = |offset| field::<u64>(self.socket, offset).unwrap_or(0);
        let fin_came = u64::from(word(layout.flags) & SOCK_DONE != 0);
        let fin_acknowledged = u64::from(matches!(
            self.old,
            TCP_FIN_WAIT2 | TCP_LAST_ACK | TCP_CLOSING
        ));
        Bytes {
            received: word(layout.received).saturating_sub(fin_came),
            acknowledged: word(layout.acked).saturating_sub(fin_acknowledged),
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

/// For the first of two programs on the tracepoint.
///
/// A socket may change in a softirq that interrupts this program on its CPU, and then the kernel skips
/// it (`__bpf_trace_run` in `kernel/trace/bpf_trace.c`). It leaves word of what it has told, and the second
/// program, which the kernel calls right behind, tells what is not there. A softirq between the two has
/// the second tell the same again: that must do no harm, and does none.
#[inline(always)]
pub fn told_first(ctx: &RawTracePointContext) {
    if matters(ctx) {
        leave_word(0);
        state_changed(ctx);
        leave_word(word(ctx));
    }
}

/// For the second.
#[inline(always)]
pub fn told_again(ctx: &RawTracePointContext) {
    if matters(ctx) && TOLD.get(0).is_none_or(|told| *told != word(ctx)) {
        state_changed(ctx);
    }
}

/// Half of all changes are steps on the way, of which nothing follows.
#[inline(always)]
fn matters(ctx: &RawTracePointContext) -> bool {
    matches!(
        ctx.arg::<i32>(2) as u32,
        TCP_ESTABLISHED | TCP_CLOSE | TCP_LISTEN
    )
}

/// One change of one socket, never 0: a kernel address, of which the highest byte is always the same,
/// and two states below 16.
#[inline(always)]
fn word(ctx: &RawTracePointContext) -> u64 {
    let states = (ctx.arg::<i32>(1) as u64 & 0xf) << 4 | ctx.arg::<i32>(2) as u64 & 0xf;
    ctx.arg::<u64>(0) << 8 | states
}

#[inline(always)]
fn leave_word(word: u64) {
    if let Some(told) = TOLD.get_ptr_mut(0) {
        // SAFETY: this CPU's entry. Volatile: a softirq reads it meanwhile.
        unsafe { ptr::write_volatile(told, word) };
    }
}

/// Follows data connections, listeners and control connections to their ends.
#[inline(always)]
fn state_changed(ctx: &RawTracePointContext) {
    let Some(change) = Change::read(ctx) else {
        return;
    };
    match (change.old, change.new) {
        (TCP_SYN_RECV, TCP_ESTABLISHED) => {
            let tuple = TupleKey::passive(change.remote, change.local, change.local_port);
            let (connection, now) = (change.connection(), clock::fine());
            if !tuples::claim(&tuple, &connection, now) && listeners_of(change.local_port) > 0 {
                listeners::claim(&tuple, &connection, now);
            }
            if policy(change.local_port) & port::PROTECTED_TCP != 0 {
                tables::established(&connection);
            }
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

/// Somebody listens. On a control port that is an FTP daemon; what such a one listens on, on protected
/// ports, is for its clients, and whatever else listens there is not. From CLOSE to LISTEN the current
/// process is the one that called listen().
#[inline(always)]
fn listener_opened(change: &Change) {
    let bits = policy(change.local_port);
    let process = processes::current();
    let mut detail = Detail {
        number: process,
        ..Detail::default()
    };
    let now = clock::fine();
    if bits & port::CONTROL != 0 {
        processes::serves(process, change.local_port);
    } else if bits & port::PROTECTED_TCP == 0 {
        return;
    } else if let Some(daemon) = processes::daemon_of_current() {
        listeners::opened(&change.listener(), daemon, now);
        detail.detail = 1;
    }
    events::send(Kind::Listening, 0, &listening_key(change), now, detail);
}

/// The listening socket, as events name it.
#[inline(always)]
fn listening_key(change: &Change) -> SessionKey {
    SessionKey {
        client: Address::UNSPECIFIED,
        server: change.local,
        client_port: 0,
        server_port: change.local_port,
    }
}

#[inline(always)]
fn policy(number: u16) -> u32 {
    PORTS
        .get(u32::from(number))
        .map_or(0, |entry| entry.policy())
}

#[inline(always)]
fn listeners_of(number: u16) -> u32 {
    PORTS
        .get(u32::from(number))
        .map_or(0, |entry| entry.listeners())
}

/// Who listened there may have been the only one: the agent, which can see the others, opens the port to
/// negotiations again.
#[inline(always)]
fn tell_of_foreign(change: &Change) {
    if policy(change.local_port) & port::FOREIGN != 0 {
        let key = listening_key(change);
        let nobody_left = Detail::default();
        events::send(Kind::ListenerClosed, 0, &key, clock::fine(), nobody_left);
    }
}

/// The listener behind an armed port is gone: so is its tuple.
#[inline(always)]
fn listener_closed(change: &Change) {
    tell_of_foreign(change);
    if listeners_of(change.local_port) > 0 {
        listeners::remove(&change.listener());
    }
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
        return tuples::finish(&change.connection(), || change.bytes(), clock::fine());
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
