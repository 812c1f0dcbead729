//! IPv6 headers (RFC 8200): extension headers up to the bound and beyond, fields that lie.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ftpfw_common::{packet::ipv6::MAX_EXTENSIONS, reason::Reason};
use ftpfw_tests::packets::{
    ETHERNET, Extension, IPV6, ip, tcp, udp, with_byte, with_extensions, with_ipv6_payload,
    with_u16,
};

use super::Table;
use crate::world::{CLOSED, FLOW, FLOW_FROM, TUPLE, What};

const HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

impl Table<'_> {
    pub(super) fn ipv6(&mut self) {
        if self.is_v4() {
            return;
        }
        self.extension_headers();
        self.too_many_headers();
        self.extension_headers_that_lie();
        self.headers_that_are_not_walked();
        self.ipv6_fields();
        self.mapped_addresses();
    }

    fn extension_headers(&mut self) {
        let option = Extension::options;
        let authentication = Extension::authentication;
        for (name, chain) in [
            ("hop-by-hop", vec![option(HOP, 1)]),
            ("destination options", vec![option(DESTINATION, 1)]),
            ("long options", vec![option(DESTINATION, 30)]),
            ("routing", vec![option(ROUTING, 3)]),
            ("authentication", vec![authentication()]),
            (
                "hop-by-hop, destination",
                vec![option(HOP, 1), option(DESTINATION, 2)],
            ),
            (
                "authentication, destination",
                vec![authentication(), option(DESTINATION, 1)],
            ),
            (
                "hop-by-hop, not first",
                vec![option(DESTINATION, 1), option(HOP, 1)],
            ),
            ("hop-by-hop, twice", vec![option(HOP, 1); 2]),
            (
                "each once, as RFC 8200 §4.1 orders them",
                vec![
                    option(HOP, 1),
                    option(DESTINATION, 1),
                    option(ROUTING, 1),
                    Extension::fragment(0, false),
                    authentication(),
                    option(DESTINATION, 1),
                ],
            ),
        ] {
            self.add_by_port(name, |frame| with_extensions(&frame, &chain));
        }
        let frame = udp(self.client(), self.server(CLOSED), b"data");
        let frame = with_extensions(&frame, &[option(HOP, 1), option(DESTINATION, 1)]);
        self.add("UDP behind two headers", frame, Reason::UdpUnsolicited);
        let frame = ip(self.side.client, self.side.server, 58, &[128; 8]);
        let frame = with_extensions(&frame, &[option(HOP, 1)]);
        self.add("ICMPv6 behind a header", frame, Reason::OtherProtocol);
    }

    fn too_many_headers(&mut self) {
        for (name, header) in [
            ("destination options", Extension::options(DESTINATION, 1)),
            ("hop-by-hop", Extension::options(HOP, 1)),
            ("routing", Extension::options(ROUTING, 1)),
            ("authentication", Extension::authentication()),
            ("atomic fragment", Extension::fragment(0, false)),
        ] {
            let chain = vec![header; MAX_EXTENSIONS + 1];
            let most = &chain[1..];
            self.add_by_port(&format!("{MAX_EXTENSIONS} × {name}"), |frame| {
                with_extensions(&frame, most)
            });
            let frame = with_extensions(&self.syn(TUPLE), &chain);
            let name = format!("{} × {name}", chain.len());
            self.add(&name, frame, Reason::TooManyHeaders);
        }
        let chain = vec![Extension::options(DESTINATION, 1); MAX_EXTENSIONS + 1];
        let frame = udp(self.client(), self.server(53), b"data");
        let frame = with_extensions(&frame, &chain);
        self.add(
            "too many before UDP, any port",
            frame,
            Reason::TooManyHeaders,
        );
        let frame = ip(self.side.client, self.side.server, 59, &[]);
        let frame = with_extensions(&frame, &chain);
        self.add("too many before nothing", frame, Reason::TooManyHeaders);
        let frame = with_extensions(&self.syn(80), &vec![chain[0].clone(); 20]);
        self.add("20 headers", frame, Reason::TooManyHeaders);
    }

    fn extension_headers_that_lie(&mut self) {
        let first = ETHERNET + IPV6;
        for (name, header) in [
            ("hop-by-hop", Extension::options(HOP, 1)),
            ("routing", Extension::options(ROUTING, 1)),
            ("destination options", Extension::options(DESTINATION, 1)),
            ("authentication", Extension::authentication()),
        ] {
            let frame = with_extensions(&self.syn(TUPLE), std::slice::from_ref(&header));
            let longer = with_byte(frame.clone(), first + 1, 255);
            self.add(
                &format!("{name} longer than the packet"),
                longer,
                Reason::Malformed,
            );
            for length in [1, 3, 4] {
                let cut = with_ipv6_payload(frame.clone(), length);
                self.add(&format!("{name} of {length} bytes"), cut, Reason::Malformed);
            }
            let size = u16::try_from(header.body.len() + 2).expect("short");
            let bare = with_ipv6_payload(frame, size);
            self.add(&format!("{name} and no TCP"), bare, Reason::Malformed);
        }
        // Eight bytes more or less of options make TCP begin elsewhere: in its sequence number, which is
        // no port that is known; or in padding.
        let frame = with_extensions(&self.syn(TUPLE), &[Extension::options(HOP, 1)]);
        let frame = with_byte(frame, first + 1, 1);
        self.add("hop-by-hop that swallows ports", frame, Reason::Malformed);
        let frame = with_extensions(&self.syn(TUPLE), &[Extension::fragment(0, false)]);
        let frame = with_byte(frame, first + 1, 255);
        self.add(
            "fragment header with a length, which is reserved",
            frame,
            Reason::Tuple,
        );
        let mut jumbogram = Extension::options(HOP, 1);
        jumbogram.body = vec![0xc2, 4, 0, 1, 0, 0];
        let frame = with_extensions(&self.syn(TUPLE), &[jumbogram]);
        let frame = with_u16(frame, ETHERNET + 4, 0);
        self.add("jumbo payload option (RFC 2675)", frame, Reason::Malformed);
    }

    fn headers_that_are_not_walked(&mut self) {
        for (name, number) in [
            ("ESP", 50),
            ("no next header", 59),
            ("mobility", MOBILITY),
            ("HIP", 139),
            ("shim6", 140),
            ("experimental header 253", 253),
            ("IPv6 in IPv6", 41),
            ("IPv4 in IPv6", 4),
            ("ICMPv6", 58),
            ("ICMP, which IPv6 has not", 1),
        ] {
            let frame = ip(self.side.client, self.side.server, number, &[0; 24]);
            self.add(name, frame, Reason::OtherProtocol);
        }
        let chain = [Extension::options(MOBILITY, 1)];
        let frame = with_extensions(&self.syn(CLOSED), &chain);
        self.add(
            "TCP behind mobility, where no stack looks",
            frame,
            Reason::OtherProtocol,
        );
    }

    fn ipv6_fields(&mut self) {
        for version in [0, 4, 5, 15] {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, version << 4);
            self.add(&format!("version {version}"), frame, Reason::Malformed);
        }
        let frame = with_byte(self.syn(TUPLE), ETHERNET, 0x6f);
        self.add("traffic class and flow label", frame, Reason::Tuple);
        let frame = with_byte(self.syn(TUPLE), ETHERNET + 7, 0);
        self.add("hop limit 0", frame, Reason::Tuple);
        for (name, from) in [
            ("unspecified", "::"),
            ("loopback", "::1"),
            ("multicast", "ff02::1"),
        ] {
            let from = SocketAddr::new(from.parse().expect("an address"), 20_000);
            let frame = tcp(from, self.server(TUPLE), "S", b"");
            self.add(&format!("SYN from {name}"), frame, Reason::NoTuple);
        }
    }

    /// RFC 4291 §2.5.5.2: mapped addresses are not for the wire; here they would pass for IPv4.
    fn mapped_addresses(&mut self) {
        let map = |end: SocketAddr| {
            let mapped = match end.ip() {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            SocketAddr::new(mapped.into(), end.port())
        };
        let v4 = self.v4_ends(What::DualStack).map(map);
        let mut to = |name: &str, remote: SocketAddr, local: SocketAddr, reason| {
            let flags = if reason == Reason::NoTuple { "S" } else { "A" };
            self.add(name, tcp(remote, local, flags, b""), reason);
        };
        let at = |end: SocketAddr, port| SocketAddr::new(end.ip(), port);
        to(
            "A of an IPv4 connection, as IPv6",
            v4[0],
            v4[1],
            Reason::NoConnection,
        );
        to(
            "SYN of an IPv4 client, as IPv6",
            v4[0],
            at(v4[1], TUPLE),
            Reason::NoTuple,
        );
        let flow = FLOW_FROM + 2;
        to(
            "A of an IPv4 flow, as IPv6",
            at(v4[0], FLOW),
            at(v4[1], flow),
            Reason::NoConnection,
        );
        let frame = udp(at(v4[0], FLOW), at(v4[1], FLOW_FROM), b"data");
        self.add(
            "UDP of an IPv4 flow, as IPv6",
            frame,
            Reason::UdpUnsolicited,
        );
        let mapped = Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0, 0]);
        let frame = tcp(
            SocketAddr::new(mapped.into(), 1),
            self.server(TUPLE),
            "S",
            b"",
        );
        self.add("SYN from ::ffff:0.0.0.0", frame, Reason::NoTuple);
    }
}
