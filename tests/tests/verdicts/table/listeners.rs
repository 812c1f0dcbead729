//! What clients with an opaque session may reach: listeners of their FTP daemon's, and its passive
//! range.

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{tcp, udp};

use super::Table;
use crate::world::{LISTENER, NARROWED, OLD_LISTENER, OTHER_DAEMON, PASSIVE};

impl Table<'_> {
    pub(super) fn listeners(&mut self) {
        let any_address = self.side.listener_of_all();
        for (port, name, reason) in [
            (LISTENER, "the daemon's listener", Reason::Listener),
            (
                any_address,
                "its listener on all addresses",
                Reason::Listener,
            ),
            (NARROWED, "one for another client", Reason::NotArmed),
            (OLD_LISTENER, "one older than the session", Reason::NotArmed),
            (OTHER_DAEMON, "one of another daemon", Reason::NotArmed),
        ] {
            let client = self.client();
            let server = self.server(port);
            let syn = tcp(client, server, "S", b"");
            self.add(&format!("SYN to {name}"), syn.clone(), reason);
            self.add(&format!("SYN to {name}, once more"), syn, reason);
            let behind = match reason {
                Reason::Listener => Reason::Flow,
                _ => Reason::NoConnection,
            };
            let frame = tcp(client, server, "A", b"");
            self.add(&format!("ACK behind the SYN to {name}"), frame, behind);
            let stranger = SocketAddr::new(self.side.stranger, client.port());
            let expected = if port == NARROWED {
                "a stranger's, to one that is his, without a session"
            } else {
                "a stranger's"
            };
            let frame = tcp(stranger, server, "S", b"");
            self.add(
                &format!("SYN to {name}, {expected}"),
                frame,
                Reason::NotArmed,
            );
            let frame = udp(client, server, b"data");
            self.add(&format!("UDP to {name}"), frame, Reason::UdpUnsolicited);
        }
    }

    pub(super) fn passive_range(&mut self) {
        for (port, reason) in [
            (PASSIVE - 1, Reason::NotArmed),
            (PASSIVE, Reason::PassiveRange),
            (PASSIVE + 1, Reason::PassiveRange),
            (PASSIVE + 2, Reason::NotArmed),
        ] {
            let (client, server) = (self.client(), self.server(port));
            let frame = tcp(client, server, "S", b"");
            self.add(&format!("SYN to {port}"), frame, reason);
            let behind = match reason {
                Reason::PassiveRange => Reason::Flow,
                _ => Reason::NoConnection,
            };
            let frame = tcp(client, server, "A", b"");
            self.add(&format!("ACK behind the SYN to {port}"), frame, behind);
            let stranger = SocketAddr::new(self.side.stranger, client.port());
            let frame = tcp(stranger, server, "S", b"");
            self.add(
                &format!("SYN of a stranger to {port}"),
                frame,
                Reason::NotArmed,
            );
            let frame = udp(client, server, b"data");
            self.add(&format!("UDP to {port}"), frame, Reason::UdpUnsolicited);
        }
    }
}
