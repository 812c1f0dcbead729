//! The maps and the socket table as the filter asks them.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use ftpfw_common::{
    abi::{
        FLOW_PORTS_SHIFT,
        idle::Place,
        keys::{FlowKey, SessionKey, TupleKey},
        values::{Flow, PortEntry},
    },
    filter::{self, Armed, HANDSHAKE, Socket, Tables},
    packet::protocol,
};

use crate::{
    clock, idle, listeners,
    lookup::{self, NO_SOCKET, TCP_LISTEN, TCP_NEW_SYN_RECV},
    maps::{ARMED, CLAIMED, FLOW_PORTS, FLOWS, LISTENERS, PORTS, settings},
    sessions, tuples,
};

pub struct KernelTables {
    ctx: *mut c_void,
}

impl KernelTables {
    /// For the program of an XDP or TC context.
    #[inline(always)]
    pub fn new(ctx: &impl EbpfContext) -> Self {
        Self { ctx: ctx.as_ptr() }
    }
}

impl Tables for KernelTables {
    #[inline(always)]
    fn port(&self, port: u16) -> PortEntry {
        // Every port has an entry; without one it would be as closed as can be.
        PORTS
            .get(u32::from(port))
            .copied()
            .unwrap_or(PortEntry::new(0, u32::MAX))
    }

    #[inline(always)]
    fn is_idle(&self, place: Place) -> bool {
        idle::is_idle(place)
    }

    #[inline(always)]
    fn armed(&self, key: &TupleKey) -> Armed {
        if idle::is_idle(Place::tuple(key)) {
            return Armed::None;
        }
        // SAFETY: a tuple that is removed meanwhile may show another's deadline: that one is live too.
        match unsafe { ARMED.get(key) } {
            Some(tuple) if tuple.until > clock::coarse() => Armed::Live,
            Some(_) => Armed::Expired,
            None => Armed::None,
        }
    }

    #[inline(always)]
    fn socket(&self, connection: &SessionKey) -> Socket {
        match lookup::state(self.ctx, connection) {
            NO_SOCKET | TCP_LISTEN => Socket::None,
            TCP_NEW_SYN_RECV if !claims_on_syn() => Socket::Request,
            _ => Socket::Connection,
        }
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> filter::Flow {
        let now = clock::coarse();
        if !may_have_flows(key.local_port, now) {
            return filter::Flow::None;
        }
        let Some(flow) = FLOWS.get_ptr_mut(key) else {
            return filter::Flow::None;
        };
        // SAFETY: aligned and alive during the program; two CPUs that write it write about the same.
        let (until, state) = unsafe { ((*flow).until, (*flow).state) };
        if until <= now {
            return filter::Flow::None;
        }
        if state == Flow::HANDSHAKE {
            return filter::Flow::Handshake;
        }
        let lifetime = lifetime(key, state);
        if until - now < lifetime / 2 {
            // SAFETY: as above.
            unsafe { (*flow).until = now + lifetime };
            mark(key, now);
        }
        filter::Flow::Live
    }

    #[inline(always)]
    fn claims_on_syn(&self) -> bool {
        claims_on_syn()
    }

    #[inline(always)]
    fn retransmitted(&self, connection: &SessionKey) -> bool {
        if !claims_on_syn() {
            return false;
        }
        let claimed = TupleKey {
            client: connection.client,
            server: connection.server,
            client_port: connection.client_port,
            server_port: connection.server_port,
        };
        // SAFETY: one word is read.
        unsafe { CLAIMED.get(claimed) }
            .is_some_and(|tuple| clock::coarse().wrapping_sub(tuple.until) < HANDSHAKE)
    }

    #[inline(always)]
    fn listens_for(&self, key: &TupleKey) -> bool {
        listeners::listens_for(key).is_some()
    }

    #[inline(always)]
    fn is_entitled(&self, key: &TupleKey) -> bool {
        sessions::has_opaque(&key.client, &key.server)
    }

    #[inline(always)]
    fn notes_no_more(&self, key: &TupleKey, entry: PortEntry) -> bool {
        let tuple = if entry.armed() > 0 {
            // SAFETY: as in `armed`.
            unsafe { ARMED.get(key) }
        } else {
            None
        };
        match tuple {
            Some(tuple) => {
                let live = tuple.until > clock::coarse();
                live && tuple.forwarded == 0 && u32::from(tuple.admitted) >= ADMITTED
            }
            None if entry.listeners() == 0 => false,
            None => listeners::listens_for(key)
                // SAFETY: as above.
                .and_then(|key| unsafe { LISTENERS.get(key) })
                .is_some_and(|listener| listener.admitted >= ADMITTED),
        }
    }

    #[inline(always)]
    fn admit(&mut self, key: &TupleKey, flow: &FlowKey) {
        let claims = claims_on_syn();
        let state = if claims { Flow::LIVE } else { Flow::HANDSHAKE };
        if claims || may_note(key) {
            note(flow, HANDSHAKE, state);
        }
        if claims {
            claim(key, flow);
        }
    }

    #[inline(always)]
    fn establish(&mut self, key: &TupleKey, flow: &FlowKey, acknowledged: u32) {
        let expected = match FLOWS.get_ptr(flow) {
            // SAFETY: as in `flow`.
            Some(flow) => unsafe { (*flow).expected },
            None => 0,
        };
        let answered = expected != 0 && expected == acknowledged;
        // SAFETY: one byte is read.
        if answered && unsafe { ARMED.get(key) }.is_some_and(|tuple| tuple.forwarded != 0) {
            claim(key, flow);
            remember(flow);
        }
    }
}

/// SYNs of one tuple or listener that are remembered as flows.
const ADMITTED: u32 = 64;

/// Whether a SYN may be remembered. Those that come in the client's name from ever new ports would push
/// other flows out of `FLOWS`. They pass all the same, and what the client says next passes too
/// (`notes_no_more`): a socket of this host knows by itself what it answered. For a container's only the
/// flow does.
#[inline(always)]
fn may_note(key: &TupleKey) -> bool {
    // SAFETY: aligned and alive during the program; the counts need not be exact.
    unsafe {
        if let Some(tuple) = ARMED.get_ptr_mut(key) {
            let admitted = (*tuple).admitted;
            (*tuple).admitted = admitted.saturating_add(1);
            return (*tuple).forwarded != 0 || u32::from(admitted) < ADMITTED;
        }
        if let Some(listener) =
            listeners::listens_for(key).and_then(|key| LISTENERS.get_ptr_mut(key))
        {
            let admitted = (*listener).admitted;
            (*listener).admitted = admitted.saturating_add(1);
            return admitted < ADMITTED;
        }
    }
    true
}

/// The connection of a flow takes the tuple that let it in.
#[inline(always)]
fn claim(key: &TupleKey, flow: &FlowKey) {
    let connection = TupleKey {
        client_port: flow.remote_port,
        ..*key
    };
    tuples::claim(key, &connection, clock::coarse());
}

#[inline(always)]
fn claims_on_syn() -> bool {
    settings().is_some_and(|settings| settings.claim_on_syn != 0)
}

/// How long a flow may be silent, ns.
#[inline(always)]
fn lifetime(flow: &FlowKey, state: u32) -> u64 {
    match settings() {
        Some(settings) if state == Flow::CLOSING => settings.closing_flow_lifetime,
        Some(settings) if flow.protocol == u32::from(protocol::TCP) => settings.tcp_flow_lifetime,
        Some(settings) => settings.udp_flow_lifetime,
        None => 0,
    }
}

/// Remembers a flow that went out.
#[inline(always)]
pub fn remember(key: &FlowKey) {
    note(key, lifetime(key, Flow::LIVE), Flow::LIVE);
}

/// A segment of a connection without a socket of this host goes out: neither its first nor, if
/// `last`, one behind its end's FIN.
#[inline(always)]
pub fn goes_on(key: &FlowKey, last: bool) {
    let closing = match FLOWS.get_ptr(key) {
        // SAFETY: as in `flow`.
        Some(flow) => last || unsafe { (*flow).state } == Flow::CLOSING,
        None => last,
    };
    let state = if closing { Flow::CLOSING } else { Flow::LIVE };
    note(key, lifetime(key, state), state);
}

/// The end behind this host answers a SYN that was let through; who got the answer will acknowledge
/// `expected`.
#[inline(always)]
pub fn answers(key: &FlowKey, expected: u32) {
    if let Some(flow) = FLOWS.get_ptr_mut(key) {
        // SAFETY: as in `flow`.
        unsafe { (*flow).expected = expected };
    }
}

/// The end behind this host resets a connection. A RST that answers nonsense makes no flow, and one
/// that refuses a SYN leaves its tuple to be claimed.
#[inline(always)]
pub fn is_reset(key: &FlowKey) {
    let Some(flow) = FLOWS.get_ptr(key) else {
        return;
    };
    // SAFETY: as in `flow`.
    if unsafe { (*flow).state } != Flow::HANDSHAKE {
        note(key, lifetime(key, Flow::CLOSING), Flow::CLOSING);
    }
}

/// A connection that was let in by its SYN is established: from here on its socket answers for it, and
/// nothing does when that is gone.
#[inline(always)]
pub fn established(connection: &TupleKey) {
    let key = FlowKey {
        remote: connection.client,
        local: connection.server,
        remote_port: connection.client_port,
        local_port: connection.server_port,
        protocol: u32::from(protocol::TCP),
    };
    // Not there for connections that the filter did not let in: as good.
    let _ = FLOWS.remove(key);
}

/// What a mark may be behind before it is renewed, in units: a line of the cache is not made dirty for
/// every flow.
const SLACK: u64 = 60;

/// Whether a flow that is alive may be on a local port.
#[inline(always)]
fn may_have_flows(port: u16, now: u64) -> bool {
    let until = FLOW_PORTS.get(u32::from(port)).copied().unwrap_or(u32::MAX);
    u64::from(until) > now >> FLOW_PORTS_SHIFT
}

/// A flow on a local port lives from now on, as long as any may. Two CPUs write about the same.
#[inline(always)]
fn mark(key: &FlowKey, now: u64) {
    let longest = settings().map_or(0, |settings| {
        settings
            .tcp_flow_lifetime
            .max(settings.udp_flow_lifetime)
            .max(settings.closing_flow_lifetime)
            .max(HANDSHAKE)
    });
    let least = ((now + longest) >> FLOW_PORTS_SHIFT) + SLACK;
    let place = Place::of(key.protocol, key.local_port);
    if let Some(until) = FLOW_PORTS.get_ptr_mut(u32::from(key.local_port)) {
        // SAFETY: an aligned u32 of an array map.
        let late = unsafe { u64::from(*until) < least };
        if late {
            // SAFETY: as above.
            unsafe { *until = (least + SLACK) as u32 };
        }
        // An atomic operation for every packet that goes out would be too dear.
        if late || idle::may_become_idle(place) {
            idle::busy(place);
        }
    }
}

#[inline(always)]
fn note(key: &FlowKey, lifetime: u64, state: u32) {
    let now = clock::coarse();
    let until = now + lifetime;
    mark(key, now);
    if let Some(flow) = FLOWS.get_ptr_mut(key) {
        // Refreshed in place: an insert costs twenty times as much.
        // SAFETY: as in `flow`.
        unsafe {
            (*flow).until = until;
            (*flow).state = state;
            (*flow).expected = 0;
        }
        return;
    }
    let flow = Flow {
        until,
        state,
        expected: 0,
    };
    // An LRU map makes room; should it fail, the flow's answers are dropped and counted.
    let _ = FLOWS.insert(key, flow, 0);
}
