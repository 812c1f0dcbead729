//! IPv4 headers (RFC 791): options, fields that lie, what else it carries.

use std::net::{IpAddr, SocketAddr};

use ftpfw_common::reason::Reason;
use ftpfw_tests::{
    ghost::with_checksum,
    packets::{ETHERNET, ip, tcp, udp, with_byte, with_ipv4_option, with_ipv4_options, with_u16},
};

use super::Table;
use crate::world::{CLOSED, TUPLE};

impl Table<'_> {
    pub(super) fn ipv4(&mut self) {
        if !self.is_v4() {
            return;
        }
        self.ipv4_options();
        self.ipv4_fields();
        self.ipv4_addresses();
        self.ipv4_protocols();
    }

    fn ipv4_options(&mut self) {
        for words in 1..=10 {
            let name = format!("IHL {}", 5 + words);
            self.add_by_port(&name, |frame| with_ipv4_options(&frame, words));
        }
        // IANA "IP Option Numbers". What an option says is for the stack: no port is read from it.
        for (name, option) in [
            ("end of options", [0].as_slice()),
            ("record route", &[7, 7, 4, 0, 0, 0, 0]),
            ("timestamp", &[68, 8, 5, 0, 0, 0, 0, 0]),
            ("security", &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("loose source route", &[131, 7, 4, 10, 0, 0, 1]),
            ("strict source route", &[137, 7, 4, 10, 0, 0, 1]),
            ("router alert", &[148, 4, 0, 0]),
            ("option of length 0", &[7, 0, 0, 0]),
            ("option longer than the header", &[7, 255, 4, 0]),
            ("unknown option", &[0x9e, 4, 0x50, 0x02]),
        ] {
            let frame = with_ipv4_option(&self.syn(TUPLE), option);
            self.add(name, frame, Reason::Tuple);
            let frame = with_ipv4_option(&self.syn(CLOSED), option);
            self.add(&format!("{name}, closed port"), frame, Reason::NotArmed);
        }
        let frame = with_ipv4_options(&udp(self.client(), self.server(CLOSED), b"data"), 10);
        self.add("UDP behind options", frame, Reason::UdpUnsolicited);
        for words in 0..=4 {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, 0x40 | words);
            self.add(&format!("IHL {words}"), frame, Reason::Malformed);
        }
        // Its "options" are the TCP header, and what would be TCP lies beyond the packet.
        for words in [6, 10, 15] {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, 0x40 | words);
            let name = format!("IHL {words} in a packet without options");
            self.add(&name, frame, Reason::Malformed);
        }
    }

    fn ipv4_fields(&mut self) {
        for version in [0, 5, 6, 15] {
            let frame = with_byte(self.syn(TUPLE), ETHERNET, version << 4 | 5);
            self.add(&format!("version {version}"), frame, Reason::Malformed);
        }
        // The stack judges these.
        let frame = with_byte(self.syn(TUPLE), ETHERNET + 1, 0xff);
        self.add("all bits of the traffic class", frame, Reason::Tuple);
        let frame = with_byte(self.syn(TUPLE), ETHERNET + 8, 0);
        self.add("TTL 0", frame, Reason::Tuple);
        let frame = with_checksum(self.syn(TUPLE));
        self.add("right header checksum", frame.clone(), Reason::Tuple);
        let sum = ETHERNET + 10;
        let frame = with_byte(frame.clone(), sum, !frame[sum]);
        self.add("wrong header checksum", frame, Reason::Tuple);
        let frame = with_u16(self.syn(TUPLE), ETHERNET + 6, 0x4000);
        self.add("don't fragment", frame, Reason::Tuple);
        let frame = with_u16(self.syn(TUPLE), ETHERNET + 6, 0x8000);
        self.add("reserved flag (RFC 3514)", frame, Reason::Tuple);
    }

    fn ipv4_addresses(&mut self) {
        for (name, from) in [
            ("0.0.0.0", [0, 0, 0, 0]),
            ("loopback", [127, 0, 0, 1]),
            ("broadcast", [255, 255, 255, 255]),
            ("multicast", [224, 0, 0, 1]),
        ] {
            let from = SocketAddr::new(from.into(), 20_000);
            let frame = tcp(from, self.server(TUPLE), "S", b"");
            self.add(&format!("SYN from {name}"), frame, Reason::NoTuple);
        }
        for (name, to) in [
            ("broadcast", [255, 255, 255, 255]),
            ("loopback", [127, 0, 0, 1]),
        ] {
            let to = SocketAddr::new(IpAddr::from(to), TUPLE);
            let frame = tcp(self.client(), to, "S", b"");
            self.add(&format!("SYN to {name}"), frame, Reason::NoTuple);
        }
    }

    fn ipv4_protocols(&mut self) {
        // 6 and 17 apart; IPv6's extension headers mean nothing here.
        for (name, number) in [
            ("hop-by-hop options, which IPv4 has not", 0),
            ("ICMP", 1),
            ("IGMP", 2),
            ("IP in IP", 4),
            ("IPv6 in IP", 41),
            ("fragment header, which IPv4 has not", 44),
            ("GRE", 47),
            ("ESP", 50),
            ("authentication header", 51),
            ("SCTP", 132),
            ("UDP-Lite", 136),
            ("protocol 255", 255),
        ] {
            let frame = ip(self.side.client, self.side.server, number, &[8; 24]);
            self.add(name, frame, Reason::OtherProtocol);
        }
    }
}
