//! What comes behind an admitted SYN, when no socket of this host knows of it.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::tcp;

use super::Table;
use crate::world::{EXPIRED, SERVICE, SHARED, TUPLE, What};

/// A segment: whose, its name, its flags, and what becomes of it.
type Said = (SocketAddr, &'static str, &'static str, Reason);

impl Table<'_> {
    pub(super) fn handshakes(&mut self) {
        let client = self.client();
        self.say(
            TUPLE,
            [
                (client, "A before its SYN", "A", Reason::NoConnection),
                (client, "first SYN", "S", Reason::Tuple),
                (client, "SYN once more", "S", Reason::Tuple),
                (client, "A behind an admitted SYN", "A", Reason::Flow),
                (client, "PA behind an admitted SYN", "PA", Reason::Flow),
                (client, "FA behind an admitted SYN", "FA", Reason::Flow),
                (client, "SYN behind all that", "S", Reason::Tuple),
            ],
        );
        let client = self.client();
        let fast_open = tcp(client, self.server(TUPLE), "S", b"fast open");
        self.add("SYN with data", fast_open.clone(), Reason::Tuple);
        self.add("SYN with data, once more", fast_open, Reason::Tuple);
        let other = SocketAddr::new(client.ip(), client.port() + 1000);
        let name = "A of another port than the SYN's";
        self.say(TUPLE, [(other, name, "A", Reason::NoConnection)]);
        let late = self.client();
        let name = "A behind a SYN that was too late";
        self.say(
            EXPIRED,
            [
                (late, "SYN to an expired tuple", "S", Reason::Expired),
                (late, name, "A", Reason::NoConnection),
            ],
        );
        self.two_handshakes_for_one_tuple();
    }

    /// The daemon is in a container: here the tuple is claimed by the client's second segment.
    fn two_handshakes_for_one_tuple(&mut self) {
        let [first, second, third] = [(); 3].map(|()| self.client());
        self.say(
            self.side.forwarded(),
            [
                (first, "begins a forwarded connection", "S", Reason::Tuple),
                (second, "begins another one", "S", Reason::Tuple),
                (first, "RA that claims nothing", "RA", Reason::Flow),
                (first, "A that claims the tuple", "A", Reason::Flow),
                (
                    second,
                    "A that comes too late",
                    "A",
                    Reason::HandshakeTooLate,
                ),
                (first, "PA of a forwarded connection", "PA", Reason::Flow),
                (
                    first,
                    "SYN of a forwarded connection",
                    "S",
                    Reason::NotArmed,
                ),
                (first, "FA of a forwarded connection", "FA", Reason::Flow),
                (third, "SYN behind the claim", "S", Reason::NotArmed),
                (third, "A behind that SYN", "A", Reason::NoConnection),
            ],
        );
    }

    /// Without a tracepoint the first SYN claims the tuple.
    pub(super) fn claim_on_syn(&mut self) {
        let [first, second, late] = [(); 3].map(|()| self.client());
        let stranger = SocketAddr::new(self.side.stranger, 20_000);
        self.say(
            self.side.forwarded(),
            [
                (first, "SYN that claims", "S", Reason::Tuple),
                (first, "the same once more", "S", Reason::Tuple),
                (second, "SYN from another port", "S", Reason::NotArmed),
                (second, "A from another port", "A", Reason::NoConnection),
                (stranger, "SYN of a stranger", "S", Reason::NotArmed),
                (first, "A behind the claim", "A", Reason::Flow),
                (first, "PA behind the claim", "PA", Reason::Flow),
            ],
        );
        // The port is armed for somebody else too.
        self.say(
            SHARED,
            [
                (first, "SYN that claims one of two", "S", Reason::Tuple),
                (first, "that once more", "S", Reason::Tuple),
                (
                    second,
                    "SYN from another port, one left",
                    "S",
                    Reason::NoTuple,
                ),
                (stranger, "SYN that claims the other", "S", Reason::Tuple),
                (stranger, "the other once more", "S", Reason::Tuple),
                (first, "the first one, once more", "S", Reason::Tuple),
            ],
        );
        self.say(
            EXPIRED,
            [(late, "SYN to an expired tuple", "S", Reason::Expired)],
        );
        self.say(
            SERVICE,
            [(late, "A to a listener", "A", Reason::NoConnection)],
        );
        for what in [What::Unarmed, What::Begun, What::Overdue, What::Established] {
            let [remote, local] = self.side.ends(what);
            let frame = tcp(remote, local, "A", b"");
            self.add(&format!("A of a socket: {what:?}"), frame, Reason::Socket);
        }
    }

    fn say<const N: usize>(&mut self, port: u16, segments: [Said; N]) {
        for (client, name, flags, reason) in segments {
            let frame = tcp(client, self.server(port), flags, b"");
            self.add(name, frame, reason);
        }
    }
}
