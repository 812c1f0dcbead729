//! Flags of TCP headers (RFC 9293 §3.1) and what is not looked at.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{with_byte, with_u16};

use super::Table;
use crate::world::{CLOSED, TUPLE};

/// Without SYN, RST or ACK, or with SYN and FIN or RST: no stack sends these, scanners do.
const IMPLAUSIBLE: [(&str, &str); 14] = [
    ("NULL", ""),
    ("FIN", "F"),
    ("PSH", "P"),
    ("URG", "U"),
    ("FIN+PSH", "FP"),
    ("FIN+URG", "FU"),
    ("XMAS", "FPU"),
    ("ECN only", "EW"),
    ("SYN+FIN", "SF"),
    ("SYN+RST", "SR"),
    ("SYN+FIN+ACK", "SFA"),
    ("SYN+RST+ACK", "SRA"),
    ("SYN+FIN+RST", "SFR"),
    ("all", "SAFRPUEW"),
];

impl Table<'_> {
    pub(super) fn flags(&mut self) {
        for (name, flags) in IMPLAUSIBLE {
            for port in [21, CLOSED, TUPLE] {
                let frame = self.segment(port, flags);
                self.add(&format!("{name} to {port}"), frame, Reason::Malformed);
            }
        }
        for flags in ["A", "PA", "UA", "FA", "R", "RA", "FR", "FRA", "SA", "SPA"] {
            for (port, reason) in [
                (80, Reason::Unprotected),
                (CLOSED, Reason::NoConnection),
                (TUPLE, Reason::NoConnection),
            ] {
                let frame = self.segment(port, flags);
                self.add(&format!("{flags} to {port}"), frame, reason);
            }
        }
        for (name, flags) in [
            ("SYN+PSH", "SP"),
            ("SYN+URG", "SU"),
            ("SYN+ECE+CWR, which asks for ECN", "SEW"),
        ] {
            let frame = self.segment(TUPLE, flags);
            self.add(name, frame, Reason::Tuple);
            let frame = self.segment(CLOSED, flags);
            self.add(&format!("{name}, closed port"), frame, Reason::NotArmed);
        }
        self.fields();
    }

    /// What says nothing of whether a SYN may pass.
    fn fields(&mut self) {
        let at = self.transport();
        let frame = with_byte(self.syn(TUPLE), at + 12, 0x51);
        self.add("SYN with AE (RFC 9768)", frame, Reason::Tuple);
        let frame = with_byte(self.syn(TUPLE), at + 12, 0x5e);
        self.add("SYN with reserved bits", frame, Reason::Tuple);
        for (name, offset, value) in [
            ("window 0", 14, 0),
            ("a wrong checksum", 16, 0x1234),
            ("an urgent pointer", 18, 0xffff),
            ("an acknowledgment number", 8, 0xffff),
            ("source port 0", 0, 0),
        ] {
            let frame = with_u16(self.syn(TUPLE), at + offset, value);
            self.add(&format!("SYN with {name}"), frame, Reason::Tuple);
        }
    }
}
