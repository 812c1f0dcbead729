//! Clients with opaque sessions, and what FTP daemons listen on.

use ftpfw_common::{
    Address,
    abi::{
        keys::{EntitledKey, ListenerKey},
        values::{Entitled, Listener},
    },
};

use super::{LISTENER, NARROWED, OLD_LISTENER, OTHER_DAEMON, Side, WILDCARD, World};

const DAEMON: u32 = 21;
const OTHER: u32 = 990;
/// When the client's session began.
const SINCE: u64 = 1000;

impl Side {
    /// [`WILDCARD`] of this family: its listener takes both.
    pub fn listener_of_all(&self) -> u16 {
        WILDCARD + u16::from(self.server.is_ipv6())
    }
}

impl World {
    /// What FTP daemons listen on.
    pub fn listeners(&self) -> Vec<(ListenerKey, Listener)> {
        let of = |side: &Side| {
            let own = Address::from(side.server);
            let listener = |server, port: u16, daemon, client, opened_at| {
                let key = ListenerKey {
                    server,
                    port: port.into(),
                };
                let value = Listener {
                    opened_at,
                    session: 0,
                    client,
                    daemon,
                    admitted: 0,
                };
                (key, value)
            };
            let any = Address::UNSPECIFIED;
            [
                listener(own, LISTENER, DAEMON, any, SINCE),
                listener(any, side.listener_of_all(), DAEMON, any, SINCE + 1),
                listener(own, NARROWED, DAEMON, side.stranger.into(), SINCE + 1),
                listener(own, OLD_LISTENER, DAEMON, any, SINCE - 1),
                listener(own, OTHER_DAEMON, OTHER, any, SINCE + 1),
            ]
        };
        self.sides.iter().flat_map(of).collect()
    }

    /// Who has an opaque session: the client, on one daemon.
    pub fn entitled(&self) -> Vec<(EntitledKey, Entitled)> {
        let of = |side: &Side| {
            let key = EntitledKey {
                client: side.client.into(),
                server: side.server.into(),
                daemon: DAEMON,
            };
            let value = Entitled {
                sessions: 1,
                since: SINCE,
            };
            (key, value)
        };
        self.sides.iter().map(of).collect()
    }
}
