//! IPv6 extension headers (RFC 8200 §4) and fragments.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, Extension, ip, with_byte, with_extensions, with_ipv6_payload, with_u16,
};

use super::Table;
use crate::world::{CLOSED, TUPLE};

impl Table<'_> {
    pub(super) fn ipv6_headers(&mut self) {
        let (hop, routing, destination) = (0, 43, 60);
        let option = Extension::options;
        for (name, chain) in [
            ("hop-by-hop", vec![option(hop, 1)]),
            ("destination options", vec![option(destination, 1)]),
            ("long options", vec![option(destination, 30)]),
            ("routing", vec![option(routing, 3)]),
            ("authentication", vec![Extension::authentication()]),
            (
                "hop-by-hop, destination",
                vec![option(hop, 1), option(destination, 2)],
            ),
            ("eight headers", vec![option(destination, 1); 8]),
        ] {
            for (port, reason) in [
                (21, Reason::Unprotected),
                (CLOSED, Reason::NotArmed),
                (TUPLE, Reason::Tuple),
            ] {
                let frame = with_extensions(&self.syn(port), &chain);
                self.add(&format!("{name}, SYN to {port}"), frame, reason);
            }
        }
        let frame = with_extensions(&self.syn(TUPLE), &vec![option(destination, 1); 9]);
        self.add("nine headers", frame, Reason::TooManyHeaders);
        let frame = with_extensions(&self.syn(TUPLE), &[option(hop, 1)]);
        self.add(
            "option longer than the packet",
            with_byte(frame, 55, 255),
            Reason::Malformed,
        );
        let frame = with_extensions(&self.syn(TUPLE), &[option(hop, 1)]);
        self.add(
            "cut in an option",
            with_ipv6_payload(frame, 3),
            Reason::Malformed,
        );
        for (name, number) in [("ESP", 50), ("no next header", 59)] {
            let frame = ip(self.side.client, self.side.server, number, &[0; 24]);
            self.add(name, frame, Reason::OtherProtocol);
        }
        for version in [0, 4, 15] {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, version << 4);
            self.add(&format!("version {version}"), frame, Reason::Malformed);
        }
        for (name, length) in [
            ("0", 0),
            ("19, inside the TCP header", 19),
            ("21, beyond the frame", 21),
        ] {
            let frame = with_u16(self.syn(TUPLE), ETHERNET + 4, length);
            self.add(&format!("payload length {name}"), frame, Reason::Malformed);
        }
    }

    pub(super) fn ipv6_fragments(&mut self) {
        for (name, more) in [
            ("atomic fragment", false),
            ("first fragment with the header", true),
        ] {
            for (port, reason) in [
                (21, Reason::Unprotected),
                (CLOSED, Reason::NotArmed),
                (TUPLE, Reason::Tuple),
            ] {
                let frame = with_extensions(&self.syn(port), &[Extension::fragment(0, more)]);
                self.add(&format!("{name}, SYN to {port}"), frame, reason);
            }
        }
        for length in [8, 16] {
            let frame = with_extensions(&self.syn(TUPLE), &[Extension::fragment(0, true)]);
            let frame = with_ipv6_payload(frame, 8 + length);
            self.add(
                &format!("first fragment of {length} bytes"),
                frame,
                Reason::BadFragment,
            );
        }
        for offset in [1, 2] {
            let frame = with_extensions(&self.syn(TUPLE), &[Extension::fragment(offset, false)]);
            self.add(
                &format!("fragment at {} rewrites the header", offset * 8),
                frame,
                Reason::BadFragment,
            );
        }
        for port in [21, CLOSED, TUPLE] {
            let frame = with_extensions(&self.syn(port), &[Extension::fragment(3, false)]);
            let name = format!("later fragment that looks like a SYN to {port}");
            self.add(&name, frame, Reason::LaterFragment);
        }
    }
}
