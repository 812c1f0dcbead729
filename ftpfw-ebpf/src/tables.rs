//! The maps and the socket table as the filter asks them.

use core::ffi::c_void;

use aya_ebpf::{EbpfContext as _, programs::XdpContext};
use ftpfw_common::{
    abi::{
        keys::{FlowKey, SessionKey, TupleKey},
        values::{Flow, PortEntry},
    },
    filter::{Armed, Socket, Tables},
    packet::protocol,
};

use crate::{
    clock,
    lookup::{self, NO_SOCKET, TCP_LISTEN, TCP_NEW_SYN_RECV},
    maps::{ARMED, CLAIMED, FLOWS, PORTS, settings},
    tuples,
};

pub struct KernelTables {
    ctx: *mut c_void,
}

impl KernelTables {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self {
            ctx: ctx.as_ptr().cast(),
        }
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
    fn armed(&self, key: &TupleKey) -> Armed {
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
    fn flow(&self, key: &FlowKey) -> bool {
        let now = clock::coarse();
        let Some(flow) = FLOWS.get_ptr_mut(key) else {
            return false;
        };
        // SAFETY: aligned and alive during the program; two CPUs that write it write about the same.
        let until = unsafe { (*flow).until };
        if until <= now {
            return false;
        }
        let lifetime = lifetime(key);
        if until - now < lifetime / 2 {
            // SAFETY: as above.
            unsafe { (*flow).until = now + lifetime };
        }
        true
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
    fn admit(&mut self, key: &TupleKey, flow: &FlowKey) {
        remember_for(flow, HANDSHAKE);
        if claims_on_syn() {
            let claimed = TupleKey {
                client_port: flow.remote_port,
                ..*key
            };
            tuples::claim(key, &claimed, clock::coarse());
        }
    }
}

#[inline(always)]
fn claims_on_syn() -> bool {
    settings().is_some_and(|settings| settings.claim_on_syn != 0)
}

#[inline(always)]
fn lifetime(flow: &FlowKey) -> u64 {
    match settings() {
        Some(settings) if flow.protocol == u32::from(protocol::TCP) => settings.tcp_flow_lifetime,
        Some(settings) => settings.udp_flow_lifetime,
        None => 0,
    }
}

/// How long a handshake may take, ns: six retransmissions of a SYN (`net.ipv4.tcp_syn_retries`), the
/// last after 63 s.
const HANDSHAKE: u64 = 64 * 1_000_000_000;

/// Remembers a flow that went out.
#[inline(always)]
pub fn remember(key: &FlowKey) {
    remember_for(key, lifetime(key));
}

#[inline(always)]
fn remember_for(key: &FlowKey, lifetime: u64) {
    let now = clock::coarse();
    if let Some(flow) = FLOWS.get_ptr_mut(key) {
        // Refreshed in place: an insert costs twenty times as much.
        // SAFETY: as in `flow`.
        unsafe { (*flow).until = now + lifetime };
        return;
    }
    // An LRU map makes room; should it fail, the flow's answers are dropped and counted.
    let _ = FLOWS.insert(
        key,
        Flow {
            until: now + lifetime,
        },
        0,
    );
}
