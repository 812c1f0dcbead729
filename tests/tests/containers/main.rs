//! What is behind this host, and not on it: no socket of ours vouches for its connections.

mod ftp;
mod handshakes;
mod login;
mod older;
mod outgoing;
mod router;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::policy::Settings;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::Segment;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scripted::heard;
use ftpfw_tests::wait::{self, patience};
use ftpfw_tests::wire::Wire;
use ftpfw_user::kernel::{Maps, PinDir, Wire as Bytes};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Long enough for the last segments of a connection, short enough to wait for. ns.
const SECOND: u64 = 1_000_000_000;

/// From now on a connection is over when it was silent so long after the container closed it, ns.
fn close_after(firewall: &Firewall, silence: u64) -> Result<()> {
    let maps = Maps::open(&PinDir::new(firewall.place().pins.clone()))?;
    let mut settings = maps.settings()?;
    let now: Settings = settings.get(&0, 0)?.0;
    let short = Settings {
        closing_flow_lifetime: silence,
        ..now
    };
    Ok(settings.set(0, Bytes(short), 0)?)
}

/// Bytes in both directions, `first` speaking first.
fn exchange(first: &mut TcpStream, second: &mut TcpStream) -> Result<()> {
    first.write_all(b"are you there?")?;
    heard(second, b"are you there?")?;
    second.write_all(b"still")?;
    heard(first, b"still")
}

/// A segment of a connection of which nothing else is known.
fn segment<'a>(flags: &'a str, sequence: u32, acknowledgment: u32) -> Segment<'a> {
    Segment {
        flags,
        sequence,
        acknowledgment,
        window: 1000,
        options: &[],
        payload: &[],
    }
}

/// Insists that nobody else reaches a port that is in use: no SYN of anybody, no segment and no
/// datagram of another end.
fn closed_to_others(lab: &Lab, firewall: &Firewall, used: SocketAddr) -> Result<()> {
    for host in [&lab.client, &lab.stranger] {
        expect_dropped(firewall, host, used.ip(), used.port(), "not-armed")?;
        stray_segment(lab, firewall, host, used).context(host.netns.name().to_owned())?;
        let address = host.address(family_of(used));
        let socket = udp(&host.netns, SocketAddr::new(address, 54))?;
        unsolicited(firewall, &socket, used)?;
    }
    Ok(())
}

fn family_of(address: SocketAddr) -> Family {
    if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    }
}

/// An ACK from nowhere is dropped.
fn stray_segment(lab: &Lab, firewall: &Firewall, host: &Host, to: SocketAddr) -> Result<()> {
    let from = SocketAddr::new(host.address(family_of(to)), 3333);
    let before = firewall.stats()?.dropped("no-connection");
    Wire::new(lab, host)?.send(&lab.server, segment("A", 1, 1).frame(from, to))?;
    wait_for_drop(firewall, "no-connection", before)
}

/// A datagram is dropped.
fn unsolicited(firewall: &Firewall, from: &UdpSocket, to: SocketAddr) -> Result<()> {
    let before = firewall.stats()?.dropped("udp-unsolicited");
    from.send_to(b"unsolicited", to)?;
    wait_for_drop(firewall, "udp-unsolicited", before)
}

fn wait_for_drop(firewall: &Firewall, reason: &str, before: u64) -> Result<()> {
    wait::until(&format!("a drop as `{reason}`"), || {
        Ok((firewall.stats()?.dropped(reason) > before).then_some(()))
    })?;
    let drops = firewall.stats()?.dropped(reason) - before;
    ensure!(drops == 1, "{drops} drops as `{reason}`, not 1");
    Ok(())
}

fn udp(netns: &Netns, address: SocketAddr) -> Result<UdpSocket> {
    let socket = netns.run(|| UdpSocket::bind(address))??;
    socket.set_read_timeout(Some(patience()))?;
    Ok(socket)
}
