//! The TCP connections of this host as ss(8) asks for them, by netlink's sock_diag(7): what has gone over them
//! so far, and who has one.

use std::{collections::HashMap, fmt, io};

use anyhow::Context as _;
use ftpfw_common::abi::{event::Bytes, keys::SessionKey};
use futures_util::{StreamExt as _, pin_mut};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{
        AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_FIN_WAIT2, TCP_LAST_ACK,
        TCP_LISTEN, TCP_TIME_WAIT,
    },
    inet::{
        ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
        nlas::{Nla, TcpInfo},
    },
};
use nix::libc::MSG_DONTWAIT;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    proto::{ConnectionHandle, new_connection},
    sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG},
};

/// Bytes of each connection. `server` is the end of this host, whoever dialled.
pub type Counted = HashMap<SessionKey, Bytes>;

/// Asks for all connections of this network namespace that are established, or about to end. FIN counts as a
/// byte for nobody; the SYN of a connection that this host opened still counts as one that it sent.
///
/// # Errors
///
/// When netlink cannot be opened, and as [`Inquiry::is_answered`].
pub async fn counted() -> anyhow::Result<Counted> {
    // The end of a dump, which has its error, netlink-proto keeps to itself.
    Inquiry::new()
        .context("cannot open netlink")?
        .is_answered()?;
    let (connection, handle, _) =
        new_connection(NETLINK_SOCK_DIAG).context("cannot open netlink")?;
    let connection = tokio::spawn(connection);
    let mut counted = Counted::new();
    let asked = async {
        ask(&handle, AF_INET, SocketId::new_v4(), &mut counted).await?;
        // With those of IPv4 that a socket of IPv6 serves.
        ask(&handle, AF_INET6, SocketId::new_v6(), &mut counted).await
    };
    let asked = asked.await;
    connection.abort();
    asked.context("cannot ask for sockets")?;
    Ok(counted)
}

async fn ask(
    handle: &ConnectionHandle<SockDiagMessage>,
    family: u8,
    socket_id: SocketId,
    counted: &mut Counted,
) -> anyhow::Result<()> {
    let question = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::ESTABLISHED
            | StateFlags::FIN_WAIT1
            | StateFlags::FIN_WAIT2
            | StateFlags::CLOSE_WAIT
            | StateFlags::LAST_ACK
            | StateFlags::CLOSING,
        socket_id,
    });
    let mut message = NetlinkMessage::from(question);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let kernel = SocketAddr::new(0, 0);
    let answers = handle.request(message, kernel)?;
    pin_mut!(answers);
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                counted.extend(told(&socket));
            }
            NetlinkPayload::Error(error) => return Err(error.to_io().into()),
            _ => {}
        }
    }
    Ok(())
}

/// Asks for single connections, which takes the kernel a look-up, where `/proc/net/tcp` takes it a walk through
/// its whole table: milliseconds.
pub struct Inquiry(Socket);

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").finish_non_exhaustive()
    }
}

impl Inquiry {
    /// In this network namespace.
    ///
    /// # Errors
    ///
    /// When netlink cannot be opened.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// The inode of the socket that has this connection's end on this host. `None`: there is no such connection,
    /// or no process has it, as it is not accepted yet.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer; so as [`Self::is_answered`] does.
    pub fn inode(&self, connection: &SessionKey) -> io::Result<Option<u64>> {
        let inode = self.find(connection)?;
        Ok(inode.filter(|inode| *inode != 0))
    }

    /// Whether there is such a connection; in TIME_WAIT it is over.
    ///
    /// # Errors
    ///
    /// As [`Self::inode`].
    pub fn exists(&self, connection: &SessionKey) -> io::Result<bool> {
        Ok(self.find(connection)?.is_some())
    }

    /// Whether the kernel tells of TCP's connections at all. When it cannot, it says of each that it does not
    /// exist (`ENOENT`: `inet_diag_lock_handler` in `net/ipv4/inet_diag.c`).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] when it does not: it has no sock_diag for TCP (`CONFIG_INET_DIAG`), or may not
    /// load that module.
    pub fn is_answered(&self) -> io::Result<()> {
        let none = InetRequest {
            family: AF_INET,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::empty(),
            socket_id: SocketId::new_v4(),
        };
        match self.ask(none, NLM_F_DUMP)? {
            NetlinkPayload::Done(end) if end.code == 0 => Ok(()),
            NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel does not tell of TCP's sockets: it has no module tcp_diag, or may not load it",
            )),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    fn find(&self, connection: &SessionKey) -> io::Result<Option<u64>> {
        match self.ask(request(connection), 0)? {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                let header = &socket.header;
                // Without a connection the kernel finds who listens there.
                let over = matches!(header.state, TCP_LISTEN | TCP_TIME_WAIT);
                Ok((!over).then_some(header.inode.into()))
            }
            NetlinkPayload::Error(error) => match error.to_io() {
                error if error.kind() == io::ErrorKind::NotFound => {
                    self.is_answered().map(|()| None)
                }
                error => Err(error),
            },
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// The first message of the answer.
    fn ask(&self, request: InetRequest, flags: u16) -> io::Result<NetlinkPayload<SockDiagMessage>> {
        let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        // The kernel has answered when send() returns.
        let mut answer = Vec::with_capacity(ANSWER);
        self.0.recv(&mut answer, MSG_DONTWAIT)?;
        let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer);
        Ok(answer.map_err(io::Error::other)?.payload)
    }
}

/// What asks for one connection.
fn request(connection: &SessionKey) -> InetRequest {
    let socket_id = SocketId {
        source_port: connection.server_port,
        destination_port: connection.client_port,
        source_address: connection.server.into(),
        destination_address: connection.client.into(),
        interface_id: 0,
        cookie: NO_COOKIE,
    };
    InetRequest {
        family: if connection.client.is_v4() {
            AF_INET
        } else {
            AF_INET6
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id,
    }
}

/// `INET_DIAG_NOCOOKIE`: whichever socket it is.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// More than one socket's answer without extensions takes.
const ANSWER: usize = 4096;

fn told(socket: &InetResponse) -> Option<(SessionKey, Bytes)> {
    let info = socket.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(info) => Some(info),
        _ => None,
    })?;
    let ends = &socket.header.socket_id;
    let connection = SessionKey {
        client: ends.destination_address.into(),
        server: ends.source_address.into(),
        client_port: ends.destination_port,
        server_port: ends.source_port,
    };
    Some((connection, bytes(socket.header.state, info)))
}

/// As the programs count at the end of a connection: see `Change::bytes` there.
fn bytes(state: u8, info: &TcpInfo) -> Bytes {
    let fin_came = matches!(state, TCP_CLOSE_WAIT | TCP_LAST_ACK | TCP_CLOSING);
    let fin_acknowledged = state == TCP_FIN_WAIT2;
    Bytes {
        received: info.bytes_received.saturating_sub(fin_came.into()),
        acknowledged: info.bytes_acked.saturating_sub(fin_acknowledged.into()),
    }
}
