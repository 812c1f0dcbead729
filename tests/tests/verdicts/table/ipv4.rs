//! IPv4 headers that lie, and fragments (RFC 1858, RFC 3128).

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, as_fragment, ip, udp, with_byte, with_ipv4_options, with_ipv4_payload, with_u16,
};

use super::Table;
use crate::world::{CLOSED, TUPLE};

impl Table<'_> {
    pub(super) fn ipv4_headers(&mut self) {
        for words in 0..=4 {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, 0x40 | words);
            self.add(&format!("IHL {words}"), frame, Reason::Malformed);
        }
        for version in [0, 5, 6, 15] {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, version << 4 | 5);
            self.add(&format!("version {version}"), frame, Reason::Malformed);
        }
        for (port, reason) in [
            (21, Reason::Unprotected),
            (CLOSED, Reason::NotArmed),
            (TUPLE, Reason::Tuple),
        ] {
            let frame = with_ipv4_options(&self.syn(port), 10);
            self.add(&format!("IHL 15, SYN to {port}"), frame, reason);
        }
        let frame = with_byte(self.syn(TUPLE), ETHERNET, 0x4f);
        self.add(
            "IHL 15 in a packet without options",
            frame,
            Reason::Malformed,
        );
        let length = ETHERNET + 2;
        for (name, total) in [
            ("0", 0),
            ("19, less than its header", 19),
            ("39, inside the TCP header", 39),
            ("41, beyond the frame", 41),
            ("65535", 65_535),
        ] {
            let frame = with_u16(self.syn(TUPLE), length, total);
            self.add(&format!("total length {name}"), frame, Reason::Malformed);
        }
    }

    pub(super) fn ipv4_fragments(&mut self) {
        let frame = with_u16(self.syn(TUPLE), ETHERNET + 6, 0x4000);
        self.add("don't fragment", frame, Reason::Tuple);
        for (port, reason) in [
            (21, Reason::Unprotected),
            (CLOSED, Reason::NotArmed),
            (TUPLE, Reason::Tuple),
        ] {
            let frame = as_fragment(self.syn(port), 0, true);
            self.add(
                &format!("first fragment with the header, SYN to {port}"),
                frame,
                reason,
            );
        }
        for length in [8, 16] {
            let frame = as_fragment(with_ipv4_payload(self.syn(TUPLE), length), 0, true);
            self.add(
                &format!("first fragment of {length} bytes"),
                frame,
                Reason::BadFragment,
            );
        }
        for offset in [1, 2] {
            let frame = as_fragment(self.syn(TUPLE), offset, false);
            self.add(
                &format!("fragment at {} rewrites the header", offset * 8),
                frame,
                Reason::BadFragment,
            );
        }
        for port in [21, CLOSED, TUPLE] {
            let frame = as_fragment(self.syn(port), 3, false);
            let name = format!("later fragment that looks like a SYN to {port}");
            self.add(&name, frame, Reason::LaterFragment);
        }
        let frame = as_fragment(udp(self.client(), self.server(CLOSED), b"data"), 1, false);
        self.add("later fragment of UDP at 8", frame, Reason::LaterFragment);
        let frame = as_fragment(udp(self.client(), self.server(CLOSED), b"data"), 0, true);
        self.add("first fragment of UDP", frame, Reason::UdpUnsolicited);
        let frame = as_fragment(
            with_ipv4_payload(udp(self.client(), self.server(53), b""), 4),
            0,
            true,
        );
        self.add("first fragment of UDP, 4 bytes", frame, Reason::BadFragment);
        let icmp = ip(self.side.client, self.side.server, 1, &[8; 16]);
        self.add(
            "later fragment of ICMP",
            as_fragment(icmp, 1, false),
            Reason::LaterFragment,
        );
    }
}
