//! What has gone over the TCP connections of this host so far, as ss(8) asks for it: netlink's sock_diag(7).

use std::collections::HashMap;

use anyhow::Context as _;
use ftpfw_common::abi::{event::Bytes, keys::SessionKey};
use futures_util::{StreamExt as _, pin_mut};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{
        AF_INET, AF_INET6, IPPROTO_TCP, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_FIN_WAIT2, TCP_LAST_ACK,
    },
    inet::{
        ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
        nlas::{Nla, TcpInfo},
    },
};
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    proto::{ConnectionHandle, new_connection},
    sys::{SocketAddr, protocols::NETLINK_SOCK_DIAG},
};

/// Bytes of each connection. `server` is the end of this host, whoever dialled.
pub type Counted = HashMap<SessionKey, Bytes>;

/// Asks for all connections of this network namespace that are established, or about to end. FIN counts as a
/// byte for nobody; the SYN of a connection that this host opened still counts as one that it sent.
///
/// # Errors
///
/// When netlink cannot be opened, or the kernel has no sock_diag (`CONFIG_INET_DIAG`).
pub async fn counted() -> anyhow::Result<Counted> {
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
