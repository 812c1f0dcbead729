//! What the operator says: which ports are protected, which stay open, and whether anything is dropped.

mod dry_run;
mod ports;

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::{Family, Host};
use ftpfw_tests::wait::patience;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn udp(host: &Host, family: Family, port: u16) -> Result<UdpSocket> {
    let address = SocketAddr::new(host.address(family), port);
    let socket = host.netns.run(|| UdpSocket::bind(address))??;
    socket.set_read_timeout(Some(patience()))?;
    Ok(socket)
}

/// Insists that a datagram is delivered.
fn delivered(from: &UdpSocket, to: &UdpSocket) -> Result<()> {
    let address = to.local_addr()?;
    from.send_to(b"datagram", address)?;
    let mut buffer = [0; 16];
    let (length, sender) = to
        .recv_from(&mut buffer)
        .with_context(|| format!("a datagram to {address}"))?;
    ensure!(
        &buffer[..length] == b"datagram" && sender == from.local_addr()?,
        "another datagram was delivered"
    );
    Ok(())
}
