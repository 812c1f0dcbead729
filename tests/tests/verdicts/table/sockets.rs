//! Segments of connections that the kernel has sockets for, and of such that look like them.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{tcp, udp};

use super::Table;
use crate::world::{SERVICE, What};

/// Each socket, and what becomes of a segment without SYN.
const SOCKETS: [(What, &str, Reason); 10] = [
    (
        What::Established,
        "an established connection",
        Reason::Socket,
    ),
    (
        What::DualStack,
        "a dual-stack listener's connection",
        Reason::Socket,
    ),
    (
        What::CloseWait,
        "a connection in CLOSE_WAIT",
        Reason::Socket,
    ),
    (What::FinWait, "a connection in FIN_WAIT2", Reason::Socket),
    (What::TimeWait, "a connection in TIME_WAIT", Reason::Socket),
    (What::Outgoing, "an outgoing connection", Reason::Socket),
    (What::SynSent, "a SYN_SENT socket", Reason::Socket),
    (What::Begun, "a request socket with a tuple", Reason::Socket),
    (
        What::Overdue,
        "a request socket whose tuple expired since",
        Reason::Socket,
    ),
    (
        What::Unarmed,
        "a request socket without a tuple",
        Reason::HandshakeTooLate,
    ),
];

impl Table<'_> {
    pub(super) fn sockets(&mut self) {
        for (what, name, reason) in SOCKETS {
            let [remote, local] = self.side.ends(what);
            for flags in ["A", "PA", "FA", "R", "RA", "SA"] {
                let frame = tcp(remote, local, flags, b"");
                self.add(&format!("{flags} of {name}"), frame, reason);
            }
            let frame = tcp(remote, local, "FPU", b"");
            self.add(&format!("XMAS of {name}"), frame, Reason::Malformed);
            self.beside(name, remote, local);
        }
        // A connection gives no right to a new one.
        for (what, name, reason) in [
            (
                What::Established,
                "an established connection",
                Reason::NotArmed,
            ),
            (
                What::TimeWait,
                "a connection in TIME_WAIT",
                Reason::NotArmed,
            ),
            (
                What::SynSent,
                "a SYN_SENT socket: both ends open",
                Reason::NotArmed,
            ),
            (
                What::Unarmed,
                "a request socket without a tuple",
                Reason::NotArmed,
            ),
            (What::Begun, "a request socket with a tuple", Reason::Tuple),
            (
                What::Overdue,
                "a request socket whose tuple expired",
                Reason::Expired,
            ),
        ] {
            let [remote, local] = self.side.ends(what);
            let frame = tcp(remote, local, "S", b"");
            self.add(&format!("SYN once more, {name}"), frame, reason);
        }
        for flags in ["A", "R", "SA", "FA"] {
            let frame = self.segment(SERVICE, flags);
            self.add(
                &format!("{flags} to a listener"),
                frame,
                Reason::NoConnection,
            );
        }
        let [remote, local] = self.side.ends(What::Established);
        let frame = udp(remote, local, b"data");
        self.add(
            "UDP of a TCP connection's ports",
            frame,
            Reason::UdpUnsolicited,
        );
    }

    /// One of the four numbers is another.
    fn beside(&mut self, name: &str, remote: SocketAddr, local: SocketAddr) {
        let stranger = SocketAddr::new(self.side.stranger, remote.port());
        let elsewhere = SocketAddr::new(self.side.stranger, local.port());
        let next = |end: SocketAddr| SocketAddr::new(end.ip(), end.port() + 100);
        for (what, remote, local) in [
            ("another address", stranger, local),
            ("another remote port", next(remote), local),
            ("another local port", remote, next(local)),
            ("another local address", remote, elsewhere),
        ] {
            let frame = tcp(remote, local, "A", b"");
            self.add(
                &format!("A from {what} than {name}"),
                frame,
                Reason::NoConnection,
            );
        }
    }

    /// The IPv4 ends of a socket, for a table of IPv6.
    pub(super) fn v4_ends(&self, what: What) -> [SocketAddr; 2] {
        self.world.sides[0].ends(what)
    }
}
