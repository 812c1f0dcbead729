//! Headers and the state of the maps → a verdict. DESIGN §4, in its order.

use crate::{
    abi::{
        idle::Place,
        keys::{FlowKey, SessionKey, TupleKey},
        policy::port,
        values::PortEntry,
    },
    packet::{
        self, Cursor, Network, Packet, ParseError, Tcp, Transport, Udp, protocol, transport::flag,
    },
    reason::Reason,
};

/// What `ARMED` says of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Armed, its deadline in the future.
    Live,
    /// Armed, its deadline past.
    Expired,
    /// Not there.
    None,
}

/// What the kernel's socket table says of a 4-tuple (`bpf_skc_lookup_tcp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Nothing, or only a listener.
    None,
    /// A request socket: SYN received, handshake not complete (`TCP_NEW_SYN_RECV`). Where the first
    /// SYN claims, the tuple is gone by now and a request socket counts as a [`Socket::Connection`].
    Request,
    /// A connection, TIME_WAIT included.
    Connection,
}

/// How long a handshake may take, ns: six retransmissions of a SYN (`net.ipv4.tcp_syn_retries`), the
/// last after 63 s.
pub const HANDSHAKE: u64 = 64 * 1_000_000_000;

/// What `FLOWS` says of a connection of no local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nothing, or it was silent for too long.
    None,
    /// Its SYN was let through a moment ago, by a tuple.
    Handshake,
    /// It went out, or its handshake is complete.
    Live,
}

/// The maps and the kernel's tables, as the filter asks them. The BPF programs implement it over
/// real maps, host tests over hash maps.
pub trait Tables {
    /// Policy and armed count of a local port.
    fn port(&self, port: u16) -> PortEntry;
    /// Whether a port is known to refuse every SYN and to have no flow, without a look at its entry. That
    /// it is not known means nothing.
    fn is_idle(&self, _place: Place) -> bool {
        false
    }
    /// The state of a tuple.
    fn armed(&self, key: &TupleKey) -> Armed;
    /// The socket of a connection.
    fn socket(&self, connection: &SessionKey) -> Socket;
    /// Whether the flow went out, or was admitted, before.
    fn flow(&self, key: &FlowKey) -> Flow;
    /// Whether the first SYN claims a tuple, for want of a tracepoint.
    fn claims_on_syn(&self) -> bool {
        false
    }
    /// Whether a SYN repeats the one that claimed its tuple a moment ago: only where the first SYN
    /// claims. An old connection's ports give no right to a port that is somebody else's by now.
    fn retransmitted(&self, _connection: &SessionKey) -> bool {
        false
    }
    /// Whether the FTP daemon listens on the tuple's port for this client: it holds an opaque session.
    fn listens_for(&self, _key: &TupleKey) -> bool {
        false
    }
    /// Whether the tuple's client holds an opaque session on its server.
    fn is_entitled(&self, _key: &TupleKey) -> bool {
        false
    }
    /// Whether the tuple, or the listener, of a socket of this host has let so many SYNs through that it
    /// no longer remembers their flows. `entry`: of its port.
    fn notes_no_more(&self, _key: &TupleKey, _entry: PortEntry) -> bool {
        false
    }
    /// A SYN is let through: remember its flow, and claim its tuple where no tracepoint does.
    fn admit(&mut self, key: &TupleKey, flow: &FlowKey);
    /// The client goes on after its SYN, and no socket of this host knows it: the daemon is behind
    /// this host, and its tuple is claimed here; or the host answers by SYN cookies.
    /// `acknowledged`: what the client acknowledges; only who got the SYN-ACK knows the right number.
    fn establish(&mut self, key: &TupleKey, flow: &FlowKey, acknowledged: u32);
}

/// Judges the frame under `cursor`.
#[inline(always)]
pub fn decide(cursor: &impl Cursor, tables: &mut impl Tables) -> Reason {
    match packet::parse(cursor) {
        Ok(Packet {
            network,
            transport: Transport::Tcp(tcp),
        }) => decide_tcp(cursor, network, &tcp, tables),
        Ok(Packet {
            network,
            transport: Transport::Udp(udp),
        }) => decide_udp(cursor, network, &udp, tables),
        Ok(Packet {
            transport: Transport::Other,
            ..
        }) => Reason::OtherProtocol,
        Ok(Packet {
            transport: Transport::LaterFragment,
            ..
        }) => Reason::LaterFragment,
        Err(ParseError::NotIp) => Reason::NotIp,
        Err(ParseError::Malformed) => Reason::Malformed,
        Err(ParseError::BadFragment) => Reason::BadFragment,
        Err(ParseError::TooManyHeaders) => Reason::TooManyHeaders,
    }
}

#[inline(always)]
fn decide_tcp(
    cursor: &impl Cursor,
    network: Network,
    tcp: &Tcp,
    tables: &mut impl Tables,
) -> Reason {
    let idle = tables.is_idle(Place::tcp(tcp.destination));
    // What makes a scan cheap: no address is read, no hash computed, no entry loaded.
    if idle && tcp.opens() {
        return Reason::NotArmed;
    }
    let entry = if idle {
        PortEntry::new(0, port::PROTECTED_TCP)
    } else {
        tables.port(tcp.destination)
    };
    if entry.policy() & port::PROTECTED_TCP == 0 {
        return Reason::Unprotected;
    }
    if entry.policy() & port::OPEN_TCP != 0 {
        return Reason::OpenPort;
    }
    // Where the first SYN claims, a retransmission of it finds nothing armed any more; its port is not idle.
    if tcp.opens() && entry.refuses_every_syn() && !tables.claims_on_syn() {
        return Reason::NotArmed;
    }
    let in_range = entry.policy() & port::PASSIVE_RANGE != 0;
    let (client, server) = (network.source(cursor), network.destination(cursor));
    let tuple = TupleKey::passive(client, server, tcp.destination);
    let flow = FlowKey {
        remote: client,
        local: server,
        remote_port: tcp.source,
        local_port: tcp.destination,
        protocol: u32::from(protocol::TCP),
    };
    let connection = SessionKey {
        client,
        server,
        client_port: tcp.source,
        server_port: tcp.destination,
    };
    if tcp.opens() {
        let reason = match tables.armed(&tuple) {
            Armed::Live => Reason::Tuple,
            _ if entry.listeners() > 0 && tables.listens_for(&tuple) => Reason::Listener,
            _ if in_range && tables.is_entitled(&tuple) => Reason::PassiveRange,
            Armed::Expired => return Reason::Expired,
            Armed::None if tables.retransmitted(&connection) => return Reason::Tuple,
            Armed::None if entry.armed() == 0 => return Reason::NotArmed,
            Armed::None => return Reason::NoTuple,
        };
        tables.admit(&tuple, &flow);
        return reason;
    }
    match tables.socket(&connection) {
        Socket::Connection => Reason::Socket,
        // Two SYNs of one client may both get this far; the tuple is for one connection. A deadline
        // that passed after the SYN was let through does not matter any more.
        Socket::Request if !is_allowed(entry, &tuple, tables) => Reason::HandshakeTooLate,
        Socket::Request => Reason::Socket,
        Socket::None if idle => Reason::NoConnection,
        Socket::None => match tables.flow(&flow) {
            Flow::Live => Reason::Flow,
            Flow::Handshake if !is_allowed(entry, &tuple, tables) => Reason::HandshakeTooLate,
            Flow::Handshake => {
                // Who knows nothing of the SYN that was sent in his name answers by a RST: it must get
                // through, and claims nothing.
                if !tcp.has(flag::RST) {
                    tables.establish(&tuple, &flow, tcp.acknowledgment);
                }
                Reason::Flow
            }
            // Behind a SYN of so many that it was not noted; the kernel asks for a cookie then.
            Flow::None if !entry.is_idle() && tables.notes_no_more(&tuple, entry) => Reason::Flow,
            Flow::None => Reason::NoConnection,
        },
    }
}

/// Whether what let a SYN through is still there.
#[inline(always)]
fn is_allowed(entry: PortEntry, tuple: &TupleKey, tables: &impl Tables) -> bool {
    tables.armed(tuple) != Armed::None
        || (entry.listeners() > 0 && tables.listens_for(tuple))
        || (entry.policy() & port::PASSIVE_RANGE != 0 && tables.is_entitled(tuple))
}

#[inline(always)]
fn decide_udp(
    cursor: &impl Cursor,
    network: Network,
    udp: &Udp,
    tables: &mut impl Tables,
) -> Reason {
    if tables.is_idle(Place::udp(udp.destination)) {
        return Reason::UdpUnsolicited;
    }
    let entry = tables.port(udp.destination);
    if entry.policy() & port::PROTECTED_UDP == 0 {
        return Reason::Unprotected;
    }
    if entry.policy() & port::OPEN_UDP != 0 {
        return Reason::OpenPort;
    }
    let (remote, local) = (network.source(cursor), network.destination(cursor));
    let flow = FlowKey {
        remote,
        local,
        remote_port: udp.source,
        local_port: udp.destination,
        protocol: u32::from(protocol::UDP),
    };
    match tables.flow(&flow) {
        Flow::None => Reason::UdpUnsolicited,
        Flow::Handshake | Flow::Live => Reason::Flow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One port with an armed tuple for somebody else, and a flow for everything.
    struct OldFlow;

    impl Tables for OldFlow {
        fn port(&self, _: u16) -> PortEntry {
            PortEntry::new(1, port::PROTECTED_TCP)
        }
        fn armed(&self, _: &TupleKey) -> Armed {
            Armed::None
        }
        fn socket(&self, _: &SessionKey) -> Socket {
            Socket::None
        }
        fn flow(&self, _: &FlowKey) -> Flow {
            Flow::Live
        }
        fn admit(&mut self, _: &TupleKey, _: &FlowKey) {}
        fn establish(&mut self, _: &TupleKey, _: &FlowKey, _: u32) {}
    }

    /// An Ethernet frame with IPv4 and a TCP header of these flags, to port 50,000.
    fn frame(flags: u8) -> [u8; 54] {
        let mut frame = [0; 54];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14..18].copy_from_slice(&[0x45, 0, 0, 40]);
        frame[23] = protocol::TCP;
        frame[26..34].copy_from_slice(&[10, 0, 0, 9, 10, 0, 0, 1]);
        frame[34..38].copy_from_slice(&[0x9c, 0x40, 0xc3, 0x50]);
        frame[46..48].copy_from_slice(&[0x50, flags]);
        frame
    }

    #[test]
    fn the_ports_of_an_old_connection_give_no_right_to_a_new_one() {
        assert_eq!(decide(&&frame(0x02)[..], &mut OldFlow), Reason::NoTuple);
        assert_eq!(decide(&&frame(0x10)[..], &mut OldFlow), Reason::Flow);
    }
}
