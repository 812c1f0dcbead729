//! Segments to control ports: the filter lets them through, and `guard` then follows them.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::{
    ghost::Segment,
    packets::{SERVICE_VLAN, VLAN, as_fragment, tagged, tcp, with_u16},
};

use super::Table;
use crate::world::{CLOSED, What};

impl Table<'_> {
    pub(super) fn follower(&mut self) {
        self.checksums();
        self.stream();
    }

    fn checksums(&mut self) {
        let wrong = Some(Reason::ControlChecksum);
        let field = self.transport() + 16;
        for port in [21, 990] {
            for flags in ["S", "A", "FA", "R"] {
                let frame = self.segment(port, flags);
                let name = format!("{flags} to {port}");
                self.add(
                    &format!("{name}, right checksum"),
                    frame.clone(),
                    Reason::Unprotected,
                );
                let frame = with_u16(frame, field, 0x1234);
                self.add_followed(
                    &format!("{name}, wrong checksum"),
                    frame,
                    Reason::Unprotected,
                    wrong,
                );
            }
        }
        for (port, reason) in [(22, Reason::Unprotected), (CLOSED, Reason::NotArmed)] {
            let frame = with_u16(self.syn(port), field, 0x1234);
            self.add(&format!("S to {port}, wrong checksum"), frame, reason);
        }
        // Of every length: the last word may be half a word.
        for length in [1, 2, 3, 511, 512, 513, 1460] {
            let (client, server) = (self.client(), self.server(21));
            let frame = tcp(client, server, "PA", &vec![b'x'; length]);
            let name = format!("{length} bytes to 21");
            self.add(
                &format!("{name}, right checksum"),
                frame.clone(),
                Reason::Unprotected,
            );
            let padded = [frame.clone(), vec![0xff; 4]].concat();
            self.add(&format!("{name}, padding"), padded, Reason::Unprotected);
            let last = frame.len() - 1;
            let mut frame = frame;
            frame[last] ^= 1;
            self.add_followed(
                &format!("{name}, a wrong bit"),
                frame,
                Reason::Unprotected,
                wrong,
            );
        }
        let right = self.segment(21, "PA");
        let frame = with_u16(right.clone(), field, 0x1234);
        for tags in [[VLAN].as_slice(), &[SERVICE_VLAN, VLAN]] {
            let name = format!("behind {} tags", tags.len());
            let tagged_right = tagged(&right, tags);
            self.add(
                &format!("{name}, right checksum"),
                tagged_right,
                Reason::Unprotected,
            );
            let tagged = tagged(&frame, tags);
            self.add_followed(
                &format!("{name}, wrong checksum"),
                tagged,
                Reason::Unprotected,
                wrong,
            );
        }
        if self.is_v4() {
            // Its checksum is over bytes that are not in it.
            let (client, server) = (self.client(), self.server(21));
            let whole = tcp(client, server, "PA", b"USER anonymous\r\n");
            let (name, frame) = ("first fragment of a command", as_fragment(whole, 0, true));
            let short = ftpfw_tests::packets::with_ipv4_payload(frame, 32);
            self.add_followed(name, short, Reason::Unprotected, wrong);
        }
    }

    /// A control connection that the kernel has.
    fn stream(&mut self) {
        let [client, server] = self.side.ends(What::Control);
        let mut next = self.side.control_next();
        for (name, ahead, line, follower) in [
            ("first command", 0, "NOOP\r\n", None),
            ("next command", 0, "SYST\r\n", None),
            (
                "command behind a hole",
                100,
                "NOOP\r\n",
                Some(Reason::ControlOutOfOrder),
            ),
            ("command that fills the hole", 0, "HELP\r\n", None),
        ] {
            let sequence = next.wrapping_add(ahead);
            let frame = command(client, server, sequence, line);
            if ahead == 0 {
                next = next.wrapping_add(u32::try_from(line.len()).expect("a line"));
            }
            self.add_followed(name, frame, Reason::Unprotected, follower);
        }
    }
}

fn command(client: SocketAddr, server: SocketAddr, sequence: u32, line: &str) -> Vec<u8> {
    let segment = Segment {
        flags: "PA",
        sequence,
        acknowledgment: 1,
        window: 1000,
        options: &[],
        payload: line.as_bytes(),
    };
    segment.frame(client, server)
}
