//! TC egress: the server's direction of control connections, and whom this host dials.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use aya_log_ebpf::debug;
use ftpfw_common::{
    abi::{
        event::{Direction, Kind},
        keys::{FlowKey, SessionKey, TupleKey},
        nics::ANY_TAG,
        policy::port,
    },
    control::LOWEST_PORT,
    packet::{self, Network, Packet, Transport, protocol, transport::flag},
    reason::Reason,
};

use crate::{
    clock,
    cursor::PacketCursor,
    events::{self, Detail},
    lookup,
    maps::{self, ARMED, PORTS, Record},
    replies, sessions, tables,
};

/// The FTP data port, which a server dials from (RFC 959 §3.3: the control port less one).
const FTP_DATA: u16 = 20;

// `include/uapi/linux/if_ether.h`.
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;

/// What an outgoing packet is to the firewall.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Outgoing {
    /// Nothing.
    Other,
    /// A segment from a control port.
    Reply,
    /// A SYN.
    Dial,
    /// A segment of an established connection that no socket of this host has, from a protected port.
    Forwarded,
    /// A datagram whose answer comes to a protected port.
    Datagram,
}

/// Judges an outgoing packet: a reason when it must not leave.
#[inline(always)]
pub fn judge(ctx: &TcContext) -> Option<Reason> {
    let skb = ctx.skb.skb;
    let record = maps::record(Direction::Server)?;
    match classify(skb, record) {
        Outgoing::Other => None,
        Outgoing::Reply if turns_round(skb) => None,
        Outgoing::Reply => {
            replies::segment(skb, record);
            None
        }
        Outgoing::Dial if dial(skb, record) => None,
        Outgoing::Dial => {
            debug!(ctx, "the FTP data port dialled what no session named");
            Some(Reason::BounceOut)
        }
        Outgoing::Forwarded => {
            goes_on(skb, record);
            None
        }
        Outgoing::Datagram => {
            goes_out(skb, record, protocol::UDP);
            None
        }
    }
}

/// Sorts a packet; what matters of it goes into the record. A function of its own, so that its
/// stack is free again, and what the verifier knows of the headers forgotten, when the rest runs.
#[inline(never)]
fn classify(skb: *mut __sk_buff, record: *mut Record) -> Outgoing {
    let cursor = PacketCursor::skb(&TcContext::new(skb));
    let Ok(Packet { network, transport }) = packet::parse(&cursor) else {
        return Outgoing::Other;
    };
    match transport {
        Transport::Tcp(tcp) => {
            let control = policy(tcp.source) & port::CONTROL != 0;
            if !control && !tcp.opens() {
                // SAFETY: the context is valid during the program.
                let local = unsafe { !(*skb).__bindgen_anon_2.sk.is_null() };
                if local || !port::closes_tcp(policy(tcp.source)) {
                    return Outgoing::Other;
                }
                // SAFETY: this CPU's and this direction's record; nothing of it is borrowed.
                unsafe { (*record).segment = tcp };
                note_ends(record, &cursor, network, tcp.source, tcp.destination);
                return Outgoing::Forwarded;
            }
            // SAFETY: this CPU's and this direction's record; nothing of it is borrowed.
            unsafe {
                (*record).segment = tcp;
                (*record).greets = u32::from(replies::greets(&cursor, &tcp));
            }
            note_ends(record, &cursor, network, tcp.source, tcp.destination);
            if control {
                Outgoing::Reply
            } else {
                Outgoing::Dial
            }
        }
        Transport::Udp(udp) => {
            // On a port that the operator opened everything passes: a flow would only take the place of
            // another one, and whoever asks a service there under forged names makes it send as many as
            // he likes. The same for TCP.
            if !port::closes_udp(policy(udp.source)) {
                return Outgoing::Other;
            }
            note_ends(record, &cursor, network, udp.source, udp.destination);
            Outgoing::Datagram
        }
        Transport::Other | Transport::LaterFragment => Outgoing::Other,
    }
}

#[inline(always)]
fn policy(port: u16) -> u32 {
    PORTS.get(u32::from(port)).map_or(0, |entry| entry.policy())
}

/// Both ends of an outgoing packet, into the record.
#[inline(always)]
fn note_ends(
    record: *mut Record,
    cursor: &PacketCursor,
    network: Network,
    local_port: u16,
    remote_port: u16,
) {
    let (client, server) = (network.destination(cursor), network.source(cursor));
    // SAFETY: as in `classify`.
    unsafe {
        (*record).header.key = SessionKey {
            client,
            server,
            client_port: remote_port,
            server_port: local_port,
        };
    }
}

/// An outgoing SYN; whether it may leave.
#[inline(never)]
fn dial(skb: *mut __sk_buff, record: *mut Record) -> bool {
    // SAFETY: the caller's record, a live map value that nobody writes meanwhile.
    let key = unsafe { &(*record).header.key };
    if key.server_port == FTP_DATA && !may_dial(key) {
        events::send(Kind::BounceOut, 0, key, clock::coarse(), Detail::default());
        return false;
    }
    if lookup::sender(skb).is_null() {
        // No socket of this host will vouch for the answer.
        goes_out(skb, record, protocol::TCP);
    }
    true
}

/// What the FTP data port may dial: what a session named, and any high port of a client whose
/// session cannot be read. Anything else is a bounce (RFC 2577 §3).
#[inline(always)]
fn may_dial(key: &SessionKey) -> bool {
    let tuple = TupleKey::active(key.client, key.client_port, key.server);
    // SAFETY: one word is read.
    if unsafe { ARMED.get(tuple) }.is_some_and(|tuple| tuple.until > clock::coarse()) {
        return true;
    }
    key.client_port >= LOWEST_PORT && sessions::has_opaque(&key.client, &key.server)
}

/// Something that may be answered leaves.
#[inline(never)]
fn goes_out(skb: *mut __sk_buff, record: *mut Record, protocol: u8) {
    if turns_round(skb) {
        return;
    }
    // SAFETY: as in `dial`.
    let key = unsafe { &(*record).header.key };
    tables::remember(&flow(key, protocol));
}

/// A connection of no socket of this host goes on: it may be older than the filter.
#[inline(never)]
fn goes_on(skb: *mut __sk_buff, record: *mut Record) {
    if turns_round(skb) {
        return;
    }
    // SAFETY: as in `dial`.
    let (key, segment) = unsafe { (&(*record).header.key, &(*record).segment) };
    let flow = flow(key, protocol::TCP);
    if segment.has(flag::SYN) {
        // It makes nothing live: it answers whoever sent the SYN, in whose name ever.
        tables::answers(&flow, segment.sequence.wrapping_add(1));
    } else if segment.has(flag::RST) {
        tables::is_reset(&flow);
    } else {
        tables::goes_on(&flow, segment.has(flag::FIN));
    }
}

/// Whether a packet came in by a protected interface, or one above it, and only turns round here: whoever sent
/// it could allow himself anything.
#[inline(always)]
fn turns_round(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context is valid during the program.
    let (by, nic) = unsafe { ((*skb).ingress_ifindex, (*skb).ifindex) };
    maps::standing(by).turns_round(maps::nic(nic), tag(skb))
}

/// The number of the VLAN that an outgoing packet is for; 0 for none.
#[inline(always)]
fn tag(skb: *mut __sk_buff) -> u16 {
    // SAFETY: as above.
    let (present, tci) = unsafe { ((*skb).vlan_present, (*skb).vlan_tci) };
    // SAFETY: as above.
    let protocol = unsafe { (*skb).protocol };
    let inside = u16::from_be(protocol as u16);
    if present != 0 {
        tci as u16 & ANY_TAG
    } else if matches!(inside, ETH_P_8021Q | ETH_P_8021AD) {
        // Most leave the tag to the NIC, or to the kernel behind these programs; this one is in the frame.
        ANY_TAG
    } else {
        0
    }
}

#[inline(always)]
fn flow(key: &SessionKey, protocol: u8) -> FlowKey {
    FlowKey {
        remote: key.client,
        local: key.server,
        remote_port: key.client_port,
        local_port: key.server_port,
        protocol: u32::from(protocol),
    }
}
