//! Frames of several buffers: longer than a page. Drivers put the headers into the first one.
//!
//! A test run of `ingress_linear` takes no such frame, nor does that program meet one; nor, up to
//! Linux 6.18, does a test run of `guard`: those two are skipped, and the test says so.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, Extension, VLAN, as_fragment, ip, tagged, tcp, udp, with_extensions, with_u16,
};

use super::Table;
use crate::world::{CLOSED, TUPLE, What};

/// What most NICs take at most.
const JUMBO: usize = 9000;

impl Table<'_> {
    pub(super) fn jumbo(&mut self) {
        for (port, reason) in super::PORTS {
            let (client, server) = (self.client(), self.server(port));
            let frame = tcp(client, server, "S", &[0x55; JUMBO]);
            self.add(&format!("jumbo SYN to {port}"), frame, reason);
        }
        let [remote, local] = self.side.ends(What::Established);
        for length in [4000, JUMBO, 60_000] {
            let frame = tcp(remote, local, "PA", &vec![0x55; length]);
            let name = format!("jumbo segment of a connection, {length} bytes");
            self.add(&name, frame, Reason::Socket);
        }
        let client = self.client();
        let frame = tcp(client, local, "PA", &[0x55; JUMBO]);
        self.add(
            "jumbo segment of no connection",
            frame,
            Reason::NoConnection,
        );
        let frame = udp(client, self.server(CLOSED), &[0x55; JUMBO]);
        self.add("jumbo datagram", frame, Reason::UdpUnsolicited);
        let frame = tagged(&tcp(client, local, "A", &[0x55; JUMBO]), &[VLAN]);
        self.add("jumbo segment behind a tag", frame, Reason::NoConnection);
        let frame = ip(self.side.client, self.side.server, 132, &[0x55; JUMBO]);
        self.add(
            "jumbo packet of another protocol",
            frame,
            Reason::OtherProtocol,
        );
        let segment = tcp(client, self.server(CLOSED), "A", &[0x55; JUMBO]);
        let frame = if self.is_v4() {
            as_fragment(segment, 200, true)
        } else {
            with_extensions(&segment, &[Extension::fragment(200, true)])
        };
        self.add("jumbo later fragment", frame, Reason::LaterFragment);
        self.jumbo_lengths();
    }

    fn jumbo_lengths(&mut self) {
        let (client, server) = (self.client(), self.server(TUPLE));
        let frame = tcp(client, server, "S", &[0x55; JUMBO]);
        let padded = [frame.clone(), vec![0; 100]].concat();
        self.add("jumbo SYN with padding", padded, Reason::Tuple);
        let cut = frame[..frame.len() - 1].to_vec();
        self.add("jumbo SYN, one byte short", cut, Reason::Malformed);
        let first = frame[..5000].to_vec();
        self.add("jumbo SYN, its second buffer cut", first, Reason::Malformed);
        // What 16 bits cannot measure has no length: kernel, iph_totlen and ipv6_payload_len.
        let field = ETHERNET + if self.is_v4() { 2 } else { 4 };
        for (name, length, reason) in [
            ("of more than 65,535 bytes", 66_000, Reason::Tuple),
            (
                "of less than 65,535 bytes, but without a length",
                60_000,
                Reason::Malformed,
            ),
        ] {
            let client = self.client();
            let frame = tcp(client, server, "S", &[0x55; JUMBO]);
            let mut frame = with_u16(frame, field, 0);
            frame.resize(length, 0x55);
            self.add(&format!("SYN {name}"), frame, reason);
        }
    }
}
