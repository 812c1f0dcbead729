//! `ftpfw allow` and `ftpfw revoke` change the maps themselves, agent or not. The agent is only told,
//! for the journal, and only by who may change the maps.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Query, State, connect_info::Connected},
    http::StatusCode,
    serve::IncomingStream,
};
use ftpfw_common::{
    Address,
    abi::{event::Cause, keys::TupleKey, values::Mode},
};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::super::{
    Shared,
    event::{Event, Happening},
};
use crate::kernel::clock;

/// What an operator did to a tuple: the question of `POST /manual`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What.
    pub deed: Deed,
    /// The client.
    pub client: IpAddr,
    /// The server's address.
    pub server: IpAddr,
    /// The server's port.
    pub port: u16,
    /// The session whose tuple it was; 0 for none.
    pub session: u64,
    /// [`Mode`] of the tuple, as a byte.
    pub mode: u8,
}

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// `ftpfw allow`.
    Allowed,
    /// `ftpfw revoke`.
    Revoked,
}

impl Notice {
    /// What to ask for.
    #[must_use]
    pub fn path(&self) -> String {
        let deed = match self.deed {
            Deed::Allowed => "allowed",
            Deed::Revoked => "revoked",
        };
        format!(
            "/manual?deed={deed}&client={}&server={}&port={}&session={}&mode={}",
            self.client, self.server, self.port, self.session, self.mode
        )
    }

    fn event(&self) -> Event {
        let (client, server) = (Address::from(self.client), Address::from(self.server));
        let key = TupleKey::passive(client, server, self.port);
        let mode = Mode::from_u8(self.mode).unwrap_or(Mode::Manual);
        let port = self.port;
        let what = match self.deed {
            Deed::Allowed => Happening::Armed {
                mode,
                port,
                by: None,
            },
            Deed::Revoked => Happening::Withdrawn {
                mode,
                port,
                cause: Cause::Revoked,
            },
        };
        Event::of_tuple(self.session, &key, what)
    }
}

/// Who is at the other end of the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(Option<Uid>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self(credentials.map(|it| Uid::from_raw(it.uid())))
    }
}

impl Peer {
    /// The group may ask; who may change the maps has the agent's own user, or is root.
    fn changes_maps(self) -> bool {
        self.0
            .is_some_and(|uid| uid.is_root() || uid == Uid::effective())
    }
}

pub(super) async fn manual(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(notice): Query<Notice>,
) -> StatusCode {
    if !peer.changes_maps() {
        return StatusCode::FORBIDDEN;
    }
    shared.journal.tell(clock::now(), notice.event());
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    #[test]
    fn a_notice_survives_the_way() {
        for (client, server) in [("192.0.2.7", "192.0.2.1"), ("2001:db8::7", "2001:db8::1")] {
            let notice = Notice {
                deed: Deed::Revoked,
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                port: 50_001,
                session: 3,
                mode: Mode::Passive as u8,
            };
            let uri: Uri = notice.path().parse().unwrap();
            let Query(read) = Query::<Notice>::try_from_uri(&uri).unwrap();
            assert_eq!(read, notice);
        }
    }
}
