//! The named packets and what must become of them.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, Extension, IPV4, IPV6, SERVICE_VLAN, VLAN, as_fragment, cut, ethernet, ip, tagged,
    tcp, udp, with_byte, with_extensions, with_ipv4_options, with_ipv4_payload, with_ipv6_payload,
    with_u16,
};

use crate::world::{CLOSED, EXPIRED, OPEN, SERVICE, Side, TUPLE, World};

pub struct Case {
    pub name: String,
    pub frame: Vec<u8>,
    pub reason: Reason,
}

/// All cases, in an order: a SYN that is admitted is remembered as a flow, so each packet of a
/// connection of its own comes from another port.
pub fn cases(world: &World) -> Vec<Case> {
    let mut cases = other_protocols();
    for side in &world.sides {
        let mut table = Table {
            side,
            port: 20_000,
            cases: Vec::new(),
        };
        table.ports_and_flags();
        table.connections();
        table.tags();
        table.transport_headers();
        if side.server.is_ipv4() {
            table.ipv4_headers();
            table.ipv4_fragments();
        } else {
            table.ipv6_headers();
            table.ipv6_fragments();
        }
        cases.append(&mut table.cases);
    }
    cases
}

struct Table<'a> {
    side: &'a Side,
    port: u16,
    cases: Vec<Case>,
}

impl Table<'_> {
    fn add(&mut self, name: &str, frame: Vec<u8>, reason: Reason) {
        self.cases.push(Case {
            name: format!("{} {name}", self.side.name),
            frame,
            reason,
        });
    }

    fn client(&mut self) -> SocketAddr {
        self.port += 1;
        SocketAddr::new(self.side.client, self.port)
    }

    fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.side.server, port)
    }

    /// A segment from the client, from a port that no other one came from.
    fn segment(&mut self, port: u16, flags: &str) -> Vec<u8> {
        let (client, server) = (self.client(), self.server(port));
        tcp(client, server, flags, b"")
    }

    fn syn(&mut self, port: u16) -> Vec<u8> {
        self.segment(port, "S")
    }

    fn ports_and_flags(&mut self) {
        for port in [20, 21, 22, 80, 1023] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, Reason::Unprotected);
        }
        for port in [1024, CLOSED, TUPLE - 1, TUPLE + 2, 65_535] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, Reason::NotArmed);
        }
        for (port, reason) in [
            (TUPLE, Reason::Tuple),
            (EXPIRED, Reason::Expired),
            (OPEN, Reason::OpenPort),
        ] {
            let frame = self.syn(port);
            self.add(&format!("SYN to {port}"), frame, reason);
        }
        let stranger = SocketAddr::new(self.side.stranger, 20_000);
        let theft = tcp(stranger, self.server(TUPLE), "S", b"");
        self.add(
            "SYN of a stranger to the tuple's port",
            theft,
            Reason::NoTuple,
        );
        let frame = self.segment(TUPLE, "SEW");
        self.add("SYN that asks for ECN", frame, Reason::Tuple);
        let (client, server) = (self.client(), self.server(TUPLE));
        let again = tcp(client, server, "S", b"fast open");
        self.add("SYN with data", again.clone(), Reason::Tuple);
        self.add("SYN with data, once more", again, Reason::Tuple);

        for flags in ["A", "PA", "FA", "R", "RA", "SA"] {
            let frame = self.segment(TUPLE, flags);
            self.add(
                &format!("{flags} of no connection to the tuple's port"),
                frame,
                Reason::NoConnection,
            );
            let frame = self.segment(80, flags);
            self.add(&format!("{flags} to 80"), frame, Reason::Unprotected);
        }
        for (name, flags) in [
            ("NULL", ""),
            ("FIN", "F"),
            ("XMAS", "FPU"),
            ("SYN+FIN", "SF"),
            ("SYN+RST", "SR"),
            ("all", "SAFRPU"),
        ] {
            for port in [21, CLOSED, TUPLE] {
                let frame = self.segment(port, flags);
                self.add(&format!("{name} to {port}"), frame, Reason::Malformed);
            }
        }
        for (port, reason) in [
            (53, Reason::Unprotected),
            (1023, Reason::Unprotected),
            (1024, Reason::UdpUnsolicited),
            (TUPLE, Reason::UdpUnsolicited),
            (OPEN, Reason::UdpUnsolicited),
            (65_535, Reason::UdpUnsolicited),
        ] {
            let frame = udp(self.client(), self.server(port), b"data");
            self.add(&format!("UDP to {port}"), frame, reason);
        }
    }

    fn connections(&mut self) {
        let (connected, server) = (self.side.connected, self.server(SERVICE));
        for flags in ["A", "PA", "FA", "RA"] {
            let frame = tcp(connected, server, flags, b"");
            self.add(
                &format!("{flags} of a connection that the kernel has"),
                frame,
                Reason::Socket,
            );
        }
        let frame = tcp(connected, server, "S", b"");
        self.add(
            "SYN of a connection that the kernel has",
            frame,
            Reason::NotArmed,
        );
        let frame = self.segment(SERVICE, "A");
        self.add("ACK to a listener", frame, Reason::NoConnection);
        let stranger = SocketAddr::new(self.side.stranger, connected.port());
        let frame = tcp(stranger, server, "A", b"");
        self.add(
            "ACK from another address, same ports",
            frame,
            Reason::NoConnection,
        );
    }

    fn tags(&mut self) {
        for (name, tags) in [
            ("one tag", [VLAN].as_slice()),
            ("a service tag", &[SERVICE_VLAN]),
            ("a service and a customer tag", &[SERVICE_VLAN, VLAN]),
            ("two customer tags", &[VLAN, VLAN]),
        ] {
            for (port, reason) in [
                (21, Reason::Unprotected),
                (CLOSED, Reason::NotArmed),
                (TUPLE, Reason::Tuple),
            ] {
                let frame = tagged(&self.syn(port), tags);
                self.add(&format!("{name}, SYN to {port}"), frame, reason);
            }
        }
        let frame = tagged(&self.syn(CLOSED), &[VLAN, VLAN, VLAN]);
        self.add(
            "three tags: no IP to the kernel either",
            frame,
            Reason::NotIp,
        );
        let frame = cut(tagged(&self.syn(TUPLE), &[VLAN]), 16);
        self.add("a tag cut in half", frame, Reason::Malformed);
    }

    /// Offset of the transport header in an untagged frame without options.
    fn transport(&self) -> usize {
        ETHERNET
            + if self.side.server.is_ipv4() {
                IPV4
            } else {
                IPV6
            }
    }

    fn transport_headers(&mut self) {
        let data_offset = self.transport() + 12;
        for words in [0, 1, 4] {
            let frame = with_byte(self.syn(TUPLE), data_offset, words << 4);
            self.add(&format!("data offset {words}"), frame, Reason::Malformed);
        }
        let frame = with_byte(self.syn(TUPLE), data_offset, 15 << 4);
        self.add(
            "data offset 15 in a segment of 20 bytes",
            frame,
            Reason::Malformed,
        );
        let (client, server) = (self.client(), self.server(TUPLE));
        let frame = with_byte(tcp(client, server, "S", &[1; 40]), data_offset, 15 << 4);
        self.add(
            "data offset 15 with 40 bytes of options",
            frame,
            Reason::Tuple,
        );
        for length in [
            14,
            33,
            41,
            self.transport() - 1,
            self.transport() + 4,
            self.transport() + 19,
        ] {
            let frame = cut(self.syn(TUPLE), length);
            self.add(
                &format!("frame of {length} bytes"),
                frame,
                Reason::Malformed,
            );
        }
        let frame = cut(
            udp(self.client(), self.server(53), b""),
            self.transport() + 7,
        );
        self.add("UDP cut in its header", frame, Reason::Malformed);
        let mut padded = self.syn(TUPLE);
        padded.resize(padded.len() + 20, 0);
        self.add("Ethernet padding behind the packet", padded, Reason::Tuple);
        let icmp = if self.side.server.is_ipv4() { 1 } else { 58 };
        let frame = ip(
            self.side.client,
            self.side.server,
            icmp,
            &[8, 0, 0, 0, 0, 1, 0, 1],
        );
        self.add("ICMP", frame, Reason::OtherProtocol);
    }

    fn ipv4_headers(&mut self) {
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

    fn ipv4_fragments(&mut self) {
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

    fn ipv6_headers(&mut self) {
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

    fn ipv6_fragments(&mut self) {
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

fn other_protocols() -> Vec<Case> {
    let arp = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0x77, 0, 0, 0, 2, 10, 63, 0, 2, 0, 0, 0, 0, 0, 0, 10, 63, 0, 1,
    ];
    [
        ("ARP", ethernet(0x0806, &arp), Reason::NotIp),
        (
            "ARP behind a tag",
            tagged(&ethernet(0x0806, &arp), &[VLAN]),
            Reason::NotIp,
        ),
        ("LLDP", ethernet(0x88cc, &[0; 46]), Reason::NotIp),
        (
            "802.3 with a length for a type",
            ethernet(46, &[0x42; 46]),
            Reason::NotIp,
        ),
        (
            "14 bytes of an unknown protocol",
            ethernet(0x1234, &[]),
            Reason::NotIp,
        ),
    ]
    .map(|(name, frame, reason)| Case {
        name: name.to_owned(),
        frame,
        reason,
    })
    .into()
}
