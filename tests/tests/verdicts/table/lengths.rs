//! Frames that are short, padded, or of another length than their headers say.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{
    ETHERNET, VLAN, cut, ip, tagged, tcp, udp, with_byte, with_ipv4_payload, with_ipv6_payload,
    with_u16,
};

use super::Table;
use crate::world::{CLOSED, TUPLE};

/// The shortest frame of an Ethernet, without its check sequence.
const SHORTEST: usize = 60;

impl Table<'_> {
    pub(super) fn lengths(&mut self) {
        self.short_frames();
        self.short_packets();
        self.padding();
        self.lengths_that_lie();
    }

    fn short_frames(&mut self) {
        for length in ETHERNET..=SHORTEST {
            let mut frame = self.syn(TUPLE);
            let reason = if length < frame.len() {
                Reason::Malformed
            } else {
                Reason::Tuple
            };
            frame.resize(length, 0);
            self.add(&format!("SYN in a frame of {length} bytes"), frame, reason);
        }
        for missing in [1, 4, 7, 8] {
            let frame = udp(self.client(), self.server(53), b"");
            let frame = cut(frame, self.transport() + 8 - missing);
            let name = format!("UDP cut {missing} bytes before its end");
            self.add(&name, frame, Reason::Malformed);
        }
    }

    /// The IP header tells the truth: so much there is.
    fn short_packets(&mut self) {
        for length in [0, 1, 4, 13, 14, 19] {
            let frame = self.syn(TUPLE);
            let frame = self.with_payload(frame, length);
            let name = format!("packet with {length} bytes of TCP");
            self.add(&name, frame, Reason::Malformed);
        }
        for length in [0, 1, 4, 7] {
            let frame = udp(self.client(), self.server(53), b"");
            let frame = self.with_payload(frame, length);
            let name = format!("packet with {length} bytes of UDP");
            self.add(&name, frame, Reason::Malformed);
        }
        let frame = ip(self.side.client, self.side.server, 89, &[]);
        self.add(
            "packet of another protocol, empty",
            frame,
            Reason::OtherProtocol,
        );
    }

    fn with_payload(&self, frame: Vec<u8>, length: u16) -> Vec<u8> {
        if self.is_v4() {
            with_ipv4_payload(frame, length)
        } else {
            with_ipv6_payload(frame, length)
        }
    }

    fn padding(&mut self) {
        for (name, padding) in [
            ("one byte of padding", [0].as_slice()),
            ("20 bytes of padding", &[0; 20]),
            (
                "a check sequence behind the packet",
                &[0xde, 0xad, 0xbe, 0xef],
            ),
            ("1000 bytes behind the packet", &[0x45; 1000]),
        ] {
            self.add_by_port(name, |frame| [&frame, padding].concat());
        }
        let frame = [tagged(&self.syn(TUPLE), &[VLAN]), vec![0; 20]].concat();
        self.add("padding behind a tagged packet", frame, Reason::Tuple);
        let frame = udp(self.client(), self.server(CLOSED), b"data");
        let frame = [frame, vec![0; 20]].concat();
        self.add("padding behind UDP", frame, Reason::UdpUnsolicited);
        // The padding would make the header whole, the length says that it is none of it.
        let frame = self.syn(TUPLE);
        let frame = self.with_payload(frame, 16);
        let frame = [frame, vec![0; 20]].concat();
        self.add("TCP header that ends in padding", frame, Reason::Malformed);
    }

    fn lengths_that_lie(&mut self) {
        let (field, header) = if self.is_v4() {
            (ETHERNET + 2, 20)
        } else {
            (ETHERNET + 4, 0)
        };
        for (name, length) in [
            ("one byte more than there is", header + 21),
            ("1000 bytes more than there are", header + 1020),
            ("65535", u16::MAX),
            ("inside the TCP header", header + 19),
            ("to the end of the IP header", header),
            ("zero", 0),
        ] {
            let frame = with_u16(self.syn(TUPLE), field, length);
            self.add(&format!("IP length: {name}"), frame, Reason::Malformed);
        }
        if self.is_v4() {
            for length in [1, 19] {
                let frame = with_u16(self.syn(TUPLE), field, length);
                let name = format!("IP length: {length}, less than its own header");
                self.add(&name, frame, Reason::Malformed);
            }
        }
        let (client, server) = (self.client(), self.server(TUPLE));
        let frame = tcp(client, server, "S", &[0; 100]);
        let frame = with_u16(frame, field, header + 70);
        self.add("IP length: half the payload", frame, Reason::Tuple);
        for (name, length) in [("0", 0), ("7", 7), ("beyond the packet", 1000)] {
            for (port, reason) in [(53, Reason::Unprotected), (CLOSED, Reason::UdpUnsolicited)] {
                let frame = udp(self.client(), self.server(port), b"data");
                let frame = with_u16(frame, self.transport() + 4, length);
                self.add(&format!("UDP length {name}, to {port}"), frame, reason);
            }
        }
        self.data_offsets();
    }

    fn data_offsets(&mut self) {
        let data_offset = self.transport() + 12;
        for words in 0..=4 {
            let frame = with_byte(self.syn(TUPLE), data_offset, words << 4);
            self.add(&format!("data offset {words}"), frame, Reason::Malformed);
        }
        for words in [6, 15] {
            let frame = with_byte(self.syn(TUPLE), data_offset, words << 4);
            let name = format!("data offset {words} in a segment of 20 bytes");
            self.add(&name, frame, Reason::Malformed);
        }
        for (words, options) in [(6, 4), (15, 40)] {
            let (client, server) = (self.client(), self.server(TUPLE));
            let frame = tcp(client, server, "S", &vec![1; options]);
            let name = format!("data offset {words} with {options} bytes of options");
            self.add(
                &name,
                with_byte(frame.clone(), data_offset, words << 4),
                Reason::Tuple,
            );
            let frame = with_byte(frame, data_offset, words << 4);
            let frame = self.with_payload(frame, u16::from(words) * 4 - 1);
            let name = format!("data offset {words}, one byte missing");
            self.add(&name, frame, Reason::Malformed);
        }
    }
}
