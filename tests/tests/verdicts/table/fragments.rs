//! Fragments (RFC 1858, RFC 3128; RFC 5722, RFC 6946 and RFC 8200 §4.5 for IPv6).
//!
//! The filter keeps no fragments: it sees to it that no transport header is hidden in several or
//! overwritten. Fragments that overlap elsewhere are for the stack, which drops them.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, Extension, as_fragment, cut, ip, tcp, udp, with_byte, with_extensions,
    with_ipv4_option, with_ipv4_payload, with_ipv6_payload, with_u16,
};

use super::Table;
use crate::world::{CLOSED, TUPLE};

const DESTINATION: u8 = 60;

impl Table<'_> {
    pub(super) fn fragments(&mut self) {
        self.first_fragments();
        self.tiny_fragments();
        self.later_fragments();
        self.fragments_of_other_protocols();
        if self.is_v4() {
            let frame = with_ipv4_option(&self.syn(TUPLE), &[7, 7, 4, 0, 0, 0, 0]);
            let frame = as_fragment(frame, 0, true);
            self.add("first fragment with options", frame, Reason::Tuple);
        } else {
            self.fragments_behind_and_before_headers();
        }
    }

    /// `offset` in units of 8 bytes.
    fn fragment(&self, frame: Vec<u8>, offset: u16, more: bool) -> Vec<u8> {
        if self.is_v4() {
            as_fragment(frame, offset, more)
        } else {
            with_extensions(&frame, &[Extension::fragment(offset, more)])
        }
    }

    /// A first fragment that ends `length` bytes behind the fragment's header.
    fn tiny(&self, frame: Vec<u8>, length: u16) -> Vec<u8> {
        let frame = self.fragment(frame, 0, true);
        if self.is_v4() {
            with_ipv4_payload(frame, length)
        } else {
            with_ipv6_payload(frame, 8 + length)
        }
    }

    fn first_fragments(&mut self) {
        let is_v4 = self.is_v4();
        let first = |frame: Vec<u8>, more| match is_v4 {
            true => as_fragment(frame, 0, more),
            false => with_extensions(&frame, &[Extension::fragment(0, more)]),
        };
        self.add_by_port("first fragment with the header", |frame| first(frame, true));
        if !is_v4 {
            self.add_by_port("atomic fragment", |frame| first(frame, false));
        }
        let frame = self.segment(CLOSED, "A");
        let frame = self.fragment(frame, 0, true);
        self.add(
            "first fragment of no connection",
            frame,
            Reason::NoConnection,
        );
        let frame = self.segment(TUPLE, "SF");
        let frame = self.fragment(frame, 0, true);
        self.add("first fragment, SYN+FIN", frame, Reason::Malformed);
        let data_offset = self.transport() + 12;
        let frame = with_byte(self.syn(TUPLE), data_offset, 4 << 4);
        let frame = self.fragment(frame, 0, true);
        self.add("first fragment, data offset 4", frame, Reason::Malformed);
        let frame = self.syn(TUPLE);
        let frame = self.fragment(frame, 0, true);
        let length = frame.len() - 1;
        self.add(
            "first fragment, frame cut",
            cut(frame, length),
            Reason::Malformed,
        );
        if is_v4 {
            // Don't fragment, more fragments.
            let frame = with_u16(self.syn(TUPLE), ETHERNET + 6, 0x6000);
            self.add("first fragment that must not be one", frame, Reason::Tuple);
        }
    }

    /// RFC 1858 §3: the header is spread over fragments.
    fn tiny_fragments(&mut self) {
        for length in [0, 1, 8, 16, 19] {
            let frame = self.syn(TUPLE);
            let frame = self.tiny(frame, length);
            let name = format!("first fragment with {length} bytes of TCP");
            self.add(&name, frame, Reason::BadFragment);
        }
        for length in [20, 24, 39] {
            let (client, server) = (self.client(), self.server(TUPLE));
            let frame = tcp(client, server, "S", &[1; 20]);
            let frame = with_byte(frame, self.transport() + 12, 10 << 4);
            let frame = self.tiny(frame, length);
            let name = format!("first fragment with {length} of 40 bytes of TCP header");
            self.add(&name, frame, Reason::BadFragment);
        }
        for length in [0, 4, 7] {
            let frame = udp(self.client(), self.server(53), b"");
            let frame = self.tiny(frame, length);
            let name = format!("first fragment with {length} bytes of UDP");
            self.add(&name, frame, Reason::BadFragment);
        }
    }

    fn later_fragments(&mut self) {
        // RFC 3128: it would overwrite what the first said.
        for (offset, more) in [(1, false), (1, true), (2, false), (2, true)] {
            let frame = self.syn(TUPLE);
            let frame = self.fragment(frame, offset, more);
            let which = if more { "middle" } else { "last" };
            let name = format!("{which} fragment at {} rewrites the header", offset * 8);
            self.add(&name, frame, Reason::BadFragment);
        }
        for port in [80, CLOSED, TUPLE] {
            for (offset, more) in [(3, false), (3, true), (5, false), (0x1fff, false)] {
                let frame = self.syn(port);
                let frame = self.fragment(frame, offset, more);
                let which = if more { "middle" } else { "last" };
                let at = offset * 8;
                let name = format!("{which} fragment at {at} that looks like a SYN to {port}");
                self.add(&name, frame, Reason::LaterFragment);
            }
        }
        let frame = self.segment(CLOSED, "");
        let frame = self.fragment(frame, 3, false);
        self.add(
            "last fragment that looks like a null scan",
            frame,
            Reason::LaterFragment,
        );
        let frame = self.syn(TUPLE);
        let frame = self.fragment(frame, 3, false);
        let length = frame.len() - 1;
        self.add(
            "last fragment, frame cut",
            cut(frame, length),
            Reason::Malformed,
        );
    }

    fn fragments_of_other_protocols(&mut self) {
        let (port, data) = (self.server(CLOSED), b"data");
        let frame = udp(self.client(), port, data);
        let frame = self.fragment(frame, 0, true);
        self.add("first fragment of UDP", frame, Reason::UdpUnsolicited);
        for offset in [1, 2] {
            let frame = udp(self.client(), port, data);
            let frame = self.fragment(frame, offset, false);
            let name = format!("last fragment of UDP at {}", offset * 8);
            self.add(&name, frame, Reason::LaterFragment);
        }
        for (name, offset, reason) in [
            ("first", 0, Reason::OtherProtocol),
            ("last", 1, Reason::LaterFragment),
        ] {
            let number = if self.is_v4() { 1 } else { 58 };
            let frame = ip(self.side.client, self.side.server, number, &[8; 16]);
            let frame = self.fragment(frame, offset, offset == 0);
            self.add(&format!("{name} fragment of ICMP"), frame, reason);
        }
    }

    fn fragments_behind_and_before_headers(&mut self) {
        let options = || Extension::options(DESTINATION, 1);
        let fragment = Extension::fragment;
        self.add_by_port("first fragment, options inside", |frame| {
            with_extensions(&frame, &[fragment(0, true), options()])
        });
        self.add_by_port("atomic fragment behind options", |frame| {
            with_extensions(&frame, &[options(), fragment(0, false)])
        });
        self.add_by_port("two atomic fragments", |frame| {
            with_extensions(&frame, &[fragment(0, false), fragment(0, false)])
        });
        for (name, chain, reason) in [
            // RFC 5722: the stack drops what overlaps; here only the transport header is known.
            (
                "last fragment at 8 of options",
                vec![fragment(1, false), options()],
                Reason::LaterFragment,
            ),
            (
                "last fragment at 24 of options",
                vec![fragment(3, false), options()],
                Reason::LaterFragment,
            ),
            (
                "options, then a fragment at 8",
                vec![options(), fragment(1, false)],
                Reason::BadFragment,
            ),
            (
                "options, then a fragment at 24",
                vec![options(), fragment(3, false)],
                Reason::LaterFragment,
            ),
            (
                "an atomic, then a fragment at 8",
                vec![fragment(0, false), fragment(1, false)],
                Reason::BadFragment,
            ),
        ] {
            let frame = with_extensions(&self.syn(TUPLE), &chain);
            self.add(name, frame, reason);
        }
        // RFC 7112: the first fragment must hold the whole chain.
        let frame = with_extensions(&self.syn(TUPLE), &[fragment(0, true), options()]);
        let chain = with_ipv6_payload(frame.clone(), 8 + 8);
        self.add(
            "first fragment that ends behind options",
            chain,
            Reason::BadFragment,
        );
        let chain = with_ipv6_payload(frame, 8 + 4);
        self.add(
            "first fragment that ends in options",
            chain,
            Reason::Malformed,
        );
        let frame = with_extensions(&self.syn(TUPLE), &[fragment(0, false)]);
        let header = with_ipv6_payload(frame, 7);
        self.add("fragment header of 7 bytes", header, Reason::Malformed);
    }
}
