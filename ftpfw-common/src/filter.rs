//! Headers and the state of the maps → a verdict. DESIGN §4, in its order.

use crate::{
    abi::{
        keys::{FlowKey, SessionKey, TupleKey},
        policy::port,
        values::PortEntry,
    },
    packet::{self, Cursor, Network, Packet, ParseError, Tcp, Transport, Udp, protocol},
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

/// The maps and the kernel's tables, as the filter asks them. The BPF programs implement it over
/// real maps, host tests over hash maps.
pub trait Tables {
    /// Policy and armed count of a local port.
    fn port(&self, port: u16) -> PortEntry;
    /// The state of a tuple.
    fn armed(&self, key: &TupleKey) -> Armed;
    /// The socket of a connection.
    fn socket(&self, connection: &SessionKey) -> Socket;
    /// Whether the flow went out, or was admitted, before and is still live.
    fn flow(&self, key: &FlowKey) -> bool;
    /// A SYN is let through: remember its flow, and claim its tuple where no tracepoint does.
    fn admit(&mut self, key: &TupleKey, flow: &FlowKey);
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
    let entry = tables.port(tcp.destination);
    if entry.policy() & port::PROTECTED_TCP == 0 {
        return Reason::Unprotected;
    }
    if entry.policy() & port::OPEN_TCP != 0 {
        return Reason::OpenPort;
    }
    // What makes a scan cheap: no address is read, no hash computed.
    if tcp.opens() && entry.armed() == 0 {
        return Reason::NotArmed;
    }
    let (client, server) = (network.source(cursor), network.destination(cursor));
    let tuple = TupleKey::passive(client, server, tcp.destination);
    let flow = FlowKey {
        remote: client,
        local: server,
        remote_port: tcp.source,
        local_port: tcp.destination,
        protocol: u32::from(protocol::TCP),
    };
    if tcp.opens() {
        return match tables.armed(&tuple) {
            Armed::Live => {
                tables.admit(&tuple, &flow);
                Reason::Tuple
            }
            Armed::Expired => Reason::Expired,
            // Where the first SYN claims, the retransmissions of it are a flow.
            Armed::None if tables.flow(&flow) => Reason::Flow,
            Armed::None => Reason::NoTuple,
        };
    }
    let connection = SessionKey {
        client,
        server,
        client_port: tcp.source,
        server_port: tcp.destination,
    };
    match tables.socket(&connection) {
        Socket::Connection => Reason::Socket,
        // Two SYNs of one client may both get this far; the tuple is for one connection. A deadline
        // that passed after the SYN was let through does not matter any more.
        Socket::Request if tables.armed(&tuple) == Armed::None => Reason::HandshakeTooLate,
        Socket::Request => Reason::Socket,
        Socket::None if tables.flow(&flow) => Reason::Flow,
        Socket::None => Reason::NoConnection,
    }
}

#[inline(always)]
fn decide_udp(
    cursor: &impl Cursor,
    network: Network,
    udp: &Udp,
    tables: &mut impl Tables,
) -> Reason {
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
    if tables.flow(&flow) {
        Reason::Flow
    } else {
        Reason::UdpUnsolicited
    }
}
