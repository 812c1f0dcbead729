//! The named packets and what must become of them.

mod ipv4;
mod ipv6;

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, IPV4, IPV6, SERVICE_VLAN, VLAN, cut, ethernet, ip, tagged, tcp, udp, with_byte,
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
