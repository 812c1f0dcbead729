//! Map keys.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::address::Address;

/// An allowed data connection.
///
/// Passive: (client, server, `server_port`), `client_port` is 0 = any.
/// Active: (client, `client_port`, server), `server_port` is 0 = any.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct TupleKey {
    /// The FTP client.
    pub client: Address,
    /// The local address of the control connection.
    pub server: Address,
    /// Port that the server may dial on the client (active), else 0.
    pub client_port: u16,
    /// Port that the client may dial on the server (passive), else 0.
    pub server_port: u16,
}

impl TupleKey {
    /// The tuple that admits `client`'s SYN to `server_port`.
    #[inline(always)]
    #[must_use]
    pub const fn passive(client: Address, server: Address, server_port: u16) -> Self {
        Self {
            client,
            server,
            client_port: 0,
            server_port,
        }
    }

    /// The tuple that names what the server may dial.
    #[inline(always)]
    #[must_use]
    pub const fn active(client: Address, client_port: u16, server: Address) -> Self {
        Self {
            client,
            server,
            client_port,
            server_port: 0,
        }
    }

    /// Whether this is a passive tuple.
    #[inline(always)]
    #[must_use]
    pub const fn is_passive(&self) -> bool {
        self.server_port != 0
    }
}

/// A connection as the server sees it; the key of a control connection.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct SessionKey {
    /// Remote address.
    pub client: Address,
    /// Local address.
    pub server: Address,
    /// Remote port.
    pub client_port: u16,
    /// Local port: a control port.
    pub server_port: u16,
}

impl SessionKey {
    /// The words that name a session to [`super::programs::FORGET`] and [`super::programs::TURNED`].
    #[must_use]
    pub const fn words(&self) -> [u64; 5] {
        let ([a, b, c, d], [e, f, g, h]) = (self.client.words(), self.server.words());
        let ports = pair(self.client_port as u32, self.server_port as u32);
        [pair(a, b), pair(c, d), pair(e, f), pair(g, h), ports]
    }

    /// The session that [`Self::words`] name.
    #[inline(always)]
    #[must_use]
    pub const fn from_words([a, b, c, d, ports]: [u64; 5]) -> Self {
        Self {
            client: address(a, b),
            server: address(c, d),
            client_port: ports as u16,
            server_port: (ports >> 32) as u16,
        }
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[inline(always)]
const fn address(first: u64, second: u64) -> Address {
    let words = [first, first >> 32, second, second >> 32];
    Address::from_words([
        words[0] as u32,
        words[1] as u32,
        words[2] as u32,
        words[3] as u32,
    ])
}

/// A flow of no local socket (forwarded, or UDP), named from this host's side.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct FlowKey {
    /// The other end.
    pub remote: Address,
    /// This host's address, as seen on the NIC.
    pub local: Address,
    /// Port of the other end.
    pub remote_port: u16,
    /// Port on this host's address.
    pub local_port: u16,
    /// IP protocol number: 6 TCP, 17 UDP.
    pub protocol: u32,
}

/// A client and a server address.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct PairKey {
    /// The FTP client.
    pub client: Address,
    /// The local address.
    pub server: Address,
}

/// A client with an opaque session, and on which daemon: by its number, that of a control port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntitledKey {
    /// The FTP client.
    pub client: Address,
    /// The server's address of its control connection.
    pub server: Address,
    /// The daemon.
    pub daemon: u32,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ListenerKey {
    /// Its address; [`Address::UNSPECIFIED`] for any.
    pub server: Address,
    /// Its port, host byte order.
    pub port: u32,
}

impl ListenerKey {
    /// The listener on an address, of either family's wildcard too, and a port.
    #[inline(always)]
    #[must_use]
    pub const fn new(server: Address, port: u16) -> Self {
        let server = if server.is_unspecified() {
            Address::UNSPECIFIED
        } else {
            server
        };
        Self {
            server,
            port: port as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_words() {
        let key = SessionKey {
            client: Address::v6([0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            server: Address::v4([192, 0, 2, 255]),
            client_port: 65_535,
            server_port: 990,
        };
        assert_eq!(SessionKey::from_words(key.words()), key);
    }
}
