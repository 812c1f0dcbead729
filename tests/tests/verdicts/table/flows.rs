//! Flows of no local socket: what `FLOWS` lets in, and no more than that.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{Extension, VLAN};
use ftpfw_tests::packets::{as_fragment, tagged, tcp, udp, with_extensions};

use super::Table;
use crate::world::{FLOW, FLOW_FROM};

impl Table<'_> {
    pub(super) fn flows(&mut self) {
        let remote = SocketAddr::new(self.side.client, FLOW);
        let local = |table: &Self, nth| table.server(FLOW_FROM + nth);
        for (nth, name, reason) in [
            (0, "a datagram that went out", Reason::Flow),
            (1, "one that went out too long ago", Reason::UdpUnsolicited),
            (2, "a TCP segment that went out", Reason::UdpUnsolicited),
        ] {
            let frame = udp(remote, local(self, nth), b"reply");
            self.add(&format!("UDP in answer to {name}"), frame, reason);
        }
        for (nth, name, reason) in [
            (2, "a flow that went out", Reason::Flow),
            (3, "a flow silent for too long", Reason::NoConnection),
            (4, "a flow that closes", Reason::Flow),
            (5, "a flow that closed long ago", Reason::NoConnection),
            (6, "a handshake without a tuple", Reason::HandshakeTooLate),
            (7, "a handshake begun long ago", Reason::NoConnection),
            (0, "a UDP flow", Reason::NoConnection),
        ] {
            for flags in ["A", "SA", "R", "FA"] {
                let frame = tcp(remote, local(self, nth), flags, b"");
                self.add(&format!("{flags} of {name}"), frame, reason);
            }
            let frame = tcp(remote, local(self, nth), "S", b"");
            self.add(&format!("SYN of {name}"), frame, Reason::NotArmed);
        }
        self.beside_a_flow(remote);
        self.replies_in_disguise(remote);
    }

    fn beside_a_flow(&mut self, remote: SocketAddr) {
        let stranger = SocketAddr::new(self.side.stranger, FLOW);
        let next = SocketAddr::new(self.side.client, FLOW + 1);
        let elsewhere = SocketAddr::new(self.side.stranger, FLOW_FROM);
        for (name, remote, local) in [
            ("a stranger", stranger, self.server(FLOW_FROM)),
            ("another port", next, self.server(FLOW_FROM)),
            (
                "the same port, to another",
                remote,
                self.server(FLOW_FROM + 100),
            ),
            ("the same port, to another address", remote, elsewhere),
        ] {
            let frame = udp(remote, local, b"reply");
            self.add(&format!("UDP from {name}"), frame, Reason::UdpUnsolicited);
            let local = SocketAddr::new(local.ip(), local.port() + 2);
            let frame = tcp(remote, local, "A", b"");
            self.add(&format!("A from {name}"), frame, Reason::NoConnection);
        }
    }

    /// The headers before do not change whose answer it is.
    fn replies_in_disguise(&mut self, remote: SocketAddr) {
        let reply = udp(remote, self.server(FLOW_FROM), b"reply");
        self.add("reply behind a tag", tagged(&reply, &[VLAN]), Reason::Flow);
        let padded = [reply.clone(), vec![0; 20]].concat();
        self.add("reply with padding", padded, Reason::Flow);
        let first = if self.is_v4() {
            as_fragment(reply, 0, true)
        } else {
            with_extensions(&reply, &[Extension::fragment(0, true)])
        };
        self.add("first fragment of a reply", first, Reason::Flow);
        let empty = udp(remote, self.server(FLOW_FROM), b"");
        self.add("empty reply", empty, Reason::Flow);
    }
}
