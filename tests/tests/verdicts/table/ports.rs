//! What is protected, open, armed, and for whom.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{tcp, udp};

use super::Table;
use crate::world::{
    BEGUN, CLOSED, EXPIRED, FLOW, FLOW_FROM, OPEN_BOTH, OPEN_TCP, OPEN_UDP, OVERDUE, SHARED, TUPLE,
};

impl Table<'_> {
    pub(super) fn ports(&mut self) {
        for port in [0, 20, 21, 22, 80, 990, 1023] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, Reason::Unprotected);
        }
        for port in [1024, CLOSED, TUPLE - 1, OPEN_UDP, OPEN_TCP - 1, 65_535] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, Reason::NotArmed);
        }
        for (port, reason) in [
            (TUPLE, Reason::Tuple),
            (EXPIRED, Reason::Expired),
            (SHARED, Reason::Tuple),
            // Armed, but for somebody else.
            (BEGUN, Reason::NoTuple),
            (OVERDUE, Reason::NoTuple),
            (OPEN_TCP, Reason::OpenPort),
            (OPEN_BOTH, Reason::OpenPort),
        ] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, reason);
        }
        for flags in ["A", "R", "FA"] {
            let frame = self.segment(OPEN_TCP, flags);
            self.add(&format!("{flags} to {OPEN_TCP}"), frame, Reason::OpenPort);
        }
        let frame = self.segment(OPEN_TCP, "SF");
        self.add("SYN+FIN to an open port", frame, Reason::Malformed);
        self.strangers();
        for (port, reason) in [
            (0, Reason::Unprotected),
            (53, Reason::Unprotected),
            (1023, Reason::Unprotected),
            (1024, Reason::UdpUnsolicited),
            (CLOSED, Reason::UdpUnsolicited),
            (TUPLE, Reason::UdpUnsolicited),
            (OPEN_TCP, Reason::UdpUnsolicited),
            (OPEN_UDP, Reason::OpenPort),
            (OPEN_BOTH, Reason::OpenPort),
            (65_535, Reason::UdpUnsolicited),
        ] {
            let frame = udp(self.client(), self.server(port), b"data");
            self.add(&format!("UDP to {port}"), frame, reason);
        }
    }

    fn strangers(&mut self) {
        let stranger = SocketAddr::new(self.side.stranger, 20_000);
        for (port, reason) in [
            (TUPLE, Reason::NoTuple),
            (EXPIRED, Reason::NoTuple),
            (SHARED, Reason::Tuple),
            (CLOSED, Reason::NotArmed),
            (OPEN_TCP, Reason::OpenPort),
        ] {
            let frame = tcp(stranger, self.server(port), "S", b"");
            self.add(&format!("SYN of a stranger to {port}"), frame, reason);
        }
        // The tuple is for one of the server's addresses.
        let elsewhere = SocketAddr::new(self.side.stranger, TUPLE);
        let frame = tcp(self.client(), elsewhere, "S", b"");
        self.add(
            "SYN to another address, tuple's port",
            frame,
            Reason::NoTuple,
        );
        let (client, server) = (self.client(), self.server(TUPLE));
        let frame = tcp(server, client, "S", b"");
        self.add("SYN the other way round", frame, Reason::NotArmed);
        let frame = tcp(server, server, "S", b"");
        self.add(
            "SYN from the server to itself (land)",
            frame,
            Reason::NoTuple,
        );
    }

    /// `--udp pass`: TCP as ever, UDP as it comes.
    pub(super) fn udp_pass(&mut self) {
        for port in [
            0, 53, 1023, 1024, CLOSED, TUPLE, OPEN_UDP, FLOW_FROM, 65_535,
        ] {
            let client = SocketAddr::new(self.side.client, FLOW);
            let frame = udp(client, self.server(port), b"data");
            self.add(&format!("UDP to {port}"), frame, Reason::Unprotected);
        }
        let frame = udp(self.client(), self.server(CLOSED), b"data");
        let short = frame[..self.transport() + 7].to_vec();
        self.add("UDP cut in its header", short, Reason::Malformed);
        for (port, reason) in super::PORTS {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, reason);
        }
        let frame = self.segment(CLOSED, "A");
        self.add("A of no connection", frame, Reason::NoConnection);
    }
}
