//! The server's socket table, as the segments of the capture let it be known.
//!
//! The kernel asks its real one (`bpf_skc_lookup_tcp`) and hears of changes by the tracepoint
//! `sock:inet_sock_set_state`. Here both are derived from the segments that reach the server and
//! leave it: a connection whose SYN the filter drops never gets a socket.

use std::collections::HashMap;

use ftpfw_common::{
    abi::keys::SessionKey,
    filter::Socket,
    packet::{Tcp, transport::flag},
    stream::Sequence,
};

/// `TCP_TIMEWAIT_LEN`, ns.
const TIME_WAIT: u64 = 60 * 1_000_000_000;

/// States of RFC 9293 §3.3.2 as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The remote end's SYN came.
    SynReceived,
    /// The local end's SYN left.
    SynSent,
    Established,
    /// Until then, ns.
    TimeWait(u64),
}

/// Where the two streams of a connection begin, if the capture has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// First byte of the remote end.
    pub remote: Option<Sequence>,
    /// First byte of the local end.
    pub local: Option<Sequence>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    phase: Phase,
    begins: Beginning,
    remote_finished: bool,
    /// What the remote end acknowledges when it has seen the local FIN.
    local_fin: Option<Sequence>,
    /// The local end said FIN first: it is the one that waits.
    local_first: bool,
}

impl Connection {
    const fn new(phase: Phase) -> Self {
        Self {
            phase,
            begins: Beginning {
                remote: None,
                local: None,
            },
            remote_finished: false,
            local_fin: None,
            local_first: false,
        }
    }
}

/// What a segment did to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that matters.
    None,
    /// The remote end's connection was established.
    Accepted,
    /// The local end's connection was established.
    Connected,
    /// The connection is over.
    Closed,
}

/// All connections of the server; keys name the remote end as the client.
#[derive(Debug, Default)]
pub struct Sockets {
    connections: HashMap<SessionKey, Connection>,
}

impl Sockets {
    /// A connection from before the capture.
    pub fn insert_earlier(&mut self, key: SessionKey) {
        self.connections
            .insert(key, Connection::new(Phase::Established));
    }

    /// What a lookup finds.
    #[must_use]
    pub fn find(&self, key: &SessionKey, now: u64) -> Socket {
        match self.connections.get(key).map(|it| it.phase) {
            None => Socket::None,
            Some(Phase::TimeWait(until)) if until <= now => Socket::None,
            Some(Phase::SynReceived) => Socket::Request,
            Some(_) => Socket::Connection,
        }
    }

    /// Whether a connection is established; where its streams begin.
    #[must_use]
    pub fn established(&self, key: &SessionKey) -> Option<Beginning> {
        let connection = self.connections.get(key)?;
        (connection.phase == Phase::Established).then_some(connection.begins)
    }

    /// A segment has reached the server's stack.
    pub fn came(&mut self, key: &SessionKey, tcp: &Tcp, now: u64) -> Change {
        if tcp.opens() {
            self.syn(key, tcp, Phase::SynReceived);
            return Change::None;
        }
        let Some(it) = self.connections.get_mut(key) else {
            return Change::None;
        };
        if tcp.has(flag::RST) {
            let acknowledged = Sequence(tcp.acknowledgment);
            // Who acknowledges more than the SYN has had bytes: the handshake was complete.
            let accepted = it.phase == Phase::SynReceived
                && tcp.has(flag::ACK)
                && it.begins.local.is_some_and(|it| acknowledged.is_after(it));
            self.connections.remove(key);
            return match accepted {
                true => Change::Accepted,
                false => Change::Closed,
            };
        }
        let opened = match it.phase {
            Phase::SynReceived => Change::Accepted,
            Phase::SynSent if tcp.has(flag::SYN) => {
                it.begins.remote = Some(Sequence(tcp.sequence).plus(1));
                Change::Connected
            }
            _ => Change::None,
        };
        if opened != Change::None {
            it.phase = Phase::Established;
        }
        it.remote_finished |= tcp.has(flag::FIN);
        let acknowledged = Sequence(tcp.acknowledgment);
        let seen = it.local_fin.is_some_and(|fin| acknowledged >= fin);
        if !it.remote_finished || !seen || matches!(it.phase, Phase::TimeWait(_)) {
            return opened;
        }
        if it.local_first {
            it.phase = Phase::TimeWait(now.saturating_add(TIME_WAIT));
        } else {
            self.connections.remove(key);
        }
        Change::Closed
    }

    /// A segment leaves the server.
    pub fn left(&mut self, key: &SessionKey, tcp: &Tcp) -> Change {
        if tcp.opens() {
            self.syn(key, tcp, Phase::SynSent);
            return Change::None;
        }
        let Some(it) = self.connections.get_mut(key) else {
            return Change::None;
        };
        if tcp.has(flag::RST) {
            self.connections.remove(key);
            return Change::Closed;
        }
        let acknowledged = Some(Sequence(tcp.acknowledgment));
        if tcp.has(flag::SYN) && it.begins.remote != acknowledged {
            // Only now is it sure that a connection took another's place, the end of which is not
            // in the capture: a SYN alone may be anybody's (RFC 9293 §3.10.7.4).
            let mut connection = Connection::new(Phase::SynReceived);
            connection.begins.remote = acknowledged;
            connection.begins.local = Some(Sequence(tcp.sequence).plus(1));
            *it = connection;
            return Change::Closed;
        }
        let opened = match it.phase {
            _ if tcp.has(flag::SYN) => {
                it.begins.local = Some(Sequence(tcp.sequence).plus(1));
                Change::None
            }
            // Before it is established a stack sends nothing but its SYN: the segment that
            // completed the handshake is not in the capture.
            Phase::SynReceived => Change::Accepted,
            Phase::SynSent => Change::Connected,
            _ => Change::None,
        };
        if opened != Change::None {
            it.phase = Phase::Established;
        }
        if tcp.has(flag::FIN) && it.local_fin.is_none() {
            let length = u32::try_from(tcp.payload_len()).unwrap_or(u32::MAX);
            it.local_fin = Some(Sequence(tcp.sequence).plus(length).plus(1));
            it.local_first = !it.remote_finished;
        }
        opened
    }

    /// A SYN of either end. One that is sent again changes nothing, nor does one that says no more
    /// than that somebody knows the connection.
    fn syn(&mut self, key: &SessionKey, tcp: &Tcp, phase: Phase) {
        let first = Some(Sequence(tcp.sequence).plus(1));
        let begins = match phase {
            Phase::SynReceived => Beginning {
                remote: first,
                local: None,
            },
            _ => Beginning {
                remote: None,
                local: first,
            },
        };
        if let Some(it) = self.connections.get(key) {
            let known = match phase {
                Phase::SynReceived => it.begins.remote,
                _ => it.begins.local,
            };
            if known == first || it.phase == Phase::Established {
                return;
            }
        }
        let connection = Connection {
            begins,
            ..Connection::new(phase)
        };
        self.connections.insert(*key, connection);
    }
}

#[cfg(test)]
mod tests {
    use ftpfw_common::Address;

    use super::*;

    const KEY: SessionKey = SessionKey {
        client: Address::v4([192, 0, 2, 7]),
        server: Address::v4([192, 0, 2, 1]),
        client_port: 40_000,
        server_port: 50_000,
    };

    fn segment(flags: u8, sequence: u32, acknowledgment: u32) -> Tcp {
        Tcp {
            at: 34,
            source: KEY.client_port,
            destination: KEY.server_port,
            sequence,
            acknowledgment,
            flags,
            payload: 54,
            end: 54,
        }
    }

    /// A connection whose SYN and SYN-ACK were seen, with sequence numbers from 100 and 200.
    fn asked() -> Sockets {
        let mut sockets = Sockets::default();
        sockets.came(&KEY, &segment(flag::SYN, 99, 0), 0);
        sockets.left(&KEY, &segment(flag::SYN | flag::ACK, 199, 100));
        sockets
    }

    #[test]
    fn a_handshake_ends_in_a_connection() {
        let mut sockets = asked();
        assert_eq!(sockets.find(&KEY, 0), Socket::Request);
        let ack = segment(flag::ACK, 100, 200);
        assert_eq!(sockets.came(&KEY, &ack, 0), Change::Accepted);
        assert_eq!(sockets.came(&KEY, &ack, 0), Change::None);
        assert_eq!(sockets.find(&KEY, 0), Socket::Connection);
        let begins = Beginning {
            remote: Some(Sequence(100)),
            local: Some(Sequence(200)),
        };
        assert_eq!(sockets.established(&KEY), Some(begins));
    }

    #[test]
    fn a_handshake_that_was_not_captured_shows_later() {
        let mut sockets = asked();
        let bytes = segment(flag::ACK, 200, 100);
        assert_eq!(sockets.left(&KEY, &bytes), Change::Accepted);
        let reset = flag::RST | flag::ACK;
        let (early, late) = (segment(reset, 100, 200), segment(reset, 100, 900));
        assert_eq!(asked().came(&KEY, &early, 0), Change::Closed);
        assert_eq!(asked().came(&KEY, &late, 0), Change::Accepted);
    }

    #[test]
    fn who_says_fin_first_waits() {
        let fin = flag::FIN | flag::ACK;
        let mut sockets = asked();
        sockets.left(&KEY, &segment(fin, 200, 100));
        assert_eq!(
            sockets.came(&KEY, &segment(fin, 100, 201), 5),
            Change::Closed
        );
        assert_eq!(sockets.find(&KEY, TIME_WAIT), Socket::Connection);
        assert_eq!(sockets.find(&KEY, TIME_WAIT + 5), Socket::None);

        let mut sockets = asked();
        sockets.came(&KEY, &segment(fin, 100, 200), 0);
        sockets.left(&KEY, &segment(fin, 200, 101));
        let last = segment(flag::ACK, 101, 201);
        assert_eq!(sockets.came(&KEY, &last, 0), Change::Closed);
        assert_eq!(sockets.find(&KEY, 0), Socket::None);
    }

    #[test]
    fn another_connection_takes_its_place_once_the_server_agrees() {
        let mut sockets = asked();
        sockets.came(&KEY, &segment(flag::ACK, 100, 200), 0);
        sockets.came(&KEY, &segment(flag::SYN, 5000, 0), 0);
        assert_eq!(sockets.find(&KEY, 0), Socket::Connection);
        let agreed = segment(flag::SYN | flag::ACK, 7000, 5001);
        assert_eq!(sockets.left(&KEY, &agreed), Change::Closed);
        assert_eq!(sockets.find(&KEY, 0), Socket::Request);
        assert_eq!(sockets.left(&KEY, &agreed), Change::None);
        let ack = segment(flag::ACK, 5001, 7001);
        assert_eq!(sockets.came(&KEY, &ack, 0), Change::Accepted);
    }

    #[test]
    fn nothing_comes_of_a_syn_that_was_dropped() {
        let mut sockets = Sockets::default();
        sockets.left(&KEY, &segment(flag::SYN | flag::ACK, 199, 100));
        assert_eq!(
            sockets.came(&KEY, &segment(flag::ACK, 100, 200), 0),
            Change::None
        );
        assert_eq!(sockets.find(&KEY, 0), Socket::None);
    }
}
