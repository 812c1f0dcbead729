//! A packet that comes in by the protected NIC and turns round (a router on a stick) opens nothing:
//! else anybody who may send to this host as a router could open whatever port he likes.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::keys::FlowKey;
use ftpfw_common::packet::protocol;
use ftpfw_tests::container::Container;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::Segment;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::wait;
use ftpfw_tests::wire::Wire;
use ftpfw_user::kernel::{Maps, PinDir, Wire as Bytes};

use crate::{FAMILIES, segment, udp, unsolicited, wait_for_drop};

/// Sends what is meant for `to` by way of the server.
fn route_by_server(lab: &Lab, from: &Netns, to: &Host, family: Family) -> Result<()> {
    let (to, server) = (to.address(family), lab.server.address(family));
    from.ip(&format!("route add {to} via {server}"))
}

/// The server forwards, and does not send who asks it to the shorter way.
fn send_no_redirects(lab: &Lab) -> Result<()> {
    // Those that are made later have it of "default".
    ["all", "eth0", "default"].iter().try_for_each(|interface| {
        let setting = format!("ipv4/conf/{interface}/send_redirects");
        lab.server.netns.sysctl(&setting, "0")
    })
}

/// Whether the filter knows the flow between these ends.
fn known(firewall: &Firewall, remote: SocketAddr, local: SocketAddr, number: u8) -> Result<bool> {
    let maps = Maps::open(&PinDir::new(firewall.place().pins.clone()))?;
    let key = FlowKey {
        remote: remote.ip().into(),
        local: local.ip().into(),
        remote_port: remote.port(),
        local_port: local.port(),
        protocol: u32::from(number),
    };
    Ok(maps.flows()?.get(&Bytes(key), 0).is_ok())
}

#[test]
fn what_turns_round_makes_no_flow_and_no_session() -> Result<()> {
    let lab = Lab::new()?;
    let _container = Container::behind(&lab, "21")?;
    send_no_redirects(&lab)?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        route_by_server(&lab, &lab.client.netns, &lab.stranger, family)?;
        route_by_server(&lab, &lab.stranger.netns, &lab.client, family)?;
        let address = |host: &Host, port| SocketAddr::new(host.address(family), port);
        let (asker, resolver) = (address(&lab.client, 5000), address(&lab.stranger, 53));

        let theirs = udp(&lab.stranger.netns, resolver)?;
        let ours = udp(&lab.client.netns, asker)?;
        ours.send_to(b"query", resolver)?;
        let (_, from) = theirs
            .recv_from(&mut [0; 16])
            .context("the server does not forward")?;
        ensure!(from == asker, "{from} asked");
        ensure!(
            !known(&firewall, resolver, asker, protocol::UDP)?,
            "a datagram that turned round made a flow"
        );
        unsolicited(&firewall, &theirs, asker)?;

        // A SYN, and a segment as of a connection that is older than the filter.
        let service = address(&lab.stranger, 80);
        let ends = Wire::new(&lab, &lab.stranger)?;
        for flags in ["S", "A"] {
            let mine = address(&lab.client, if flags == "S" { 5001 } else { 5002 });
            turn_round(&lab, &ends, segment(flags, 1, 1), mine, service)?;
            ensure!(
                !known(&firewall, service, mine, protocol::TCP)?,
                "a segment {flags} that turned round made a flow"
            );
            let before = firewall.stats()?.dropped("no-connection");
            let answer = segment("A", 1, 2).frame(service, mine);
            Wire::new(&lab, &lab.stranger)?.send(&lab.server, answer)?;
            wait_for_drop(&firewall, "no-connection", before)?;
        }

        // What looks like a reply of a daemon behind this host.
        let reply = Segment {
            payload: b"200 ready\r\n",
            ..segment("PA", 1, 1)
        };
        let (daemon, client) = (address(&lab.client, 21), address(&lab.stranger, 81));
        turn_round(&lab, &ends, reply, daemon, client)?;
        let sessions = firewall.sessions()?;
        ensure!(
            sessions.is_empty(),
            "a reply that turned round made a session: {sessions:?}"
        );
    }
    Ok(())
}

/// Sends a segment by way of the server and waits until it is where it is meant to go: twice on the
/// way, the second time from the server.
fn turn_round(
    lab: &Lab,
    ends: &Wire,
    segment: Segment<'_>,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<()> {
    Wire::new(lab, &lab.client)?.send(&lab.server, segment.frame(from, to))?;
    loop {
        let frame = ends.receive().context("the server does not forward")?;
        let Some((sender, receiver, _)) = ftpfw_tests::haunt::dissect(&frame) else {
            continue;
        };
        if (sender, receiver) == (from, to) && frame[6..12] == lab.server.mac {
            return Ok(());
        }
    }
}

/// The kernel says of what comes by an interface on top of the protected one that it came by that. (A macvlan
/// stands on it as a VLAN does, which not every kernel has.)
#[test]
fn nor_does_what_came_by_an_interface_above() -> Result<()> {
    let lab = Lab::new()?;
    let _container = Container::behind(&lab, "21")?;
    send_no_redirects(&lab)?;
    let Host { v4, v6, netns, .. } = &lab.server;
    // It does not answer for the macvlan.
    netns.sysctl("ipv4/conf/eth0/arp_ignore", "1")?;
    let gateways = ["192.0.2.1", "2001:db8::1"];
    netns.ip("link add link eth0 name above0 type macvlan mode bridge\nlink set above0 up")?;
    assign(netns, "above0", gateways)?;
    assign(&lab.client.netns, "eth0", ["192.0.2.2", "2001:db8::2"])?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for (family, gateway) in FAMILIES.into_iter().zip(gateways) {
        let route = format!("{} via {gateway}", lab.stranger.address(family));
        lab.client.netns.ip(&format!("route add {route}"))?;
        expect_turned(&lab, &firewall, family).context("by a macvlan")?;
        lab.client.netns.ip(&format!("route del {route}"))?;
    }

    netns.ip("link del above0\naddr flush dev eth0")?;
    netns.ip("link add br0 type bridge stp_state 0 forward_delay 0\nlink set br0 up")?;
    netns.ip("link set eth0 master br0")?;
    assign(netns, "br0", [&v4.to_string(), &v6.to_string()])?;
    for family in FAMILIES {
        route_by_server(&lab, &lab.client.netns, &lab.stranger, family)?;
        expect_turned(&lab, &firewall, family).context("by a bridge")?;
    }
    Ok(())
}

/// In by one VLAN and out by it turns round; out by another one, or without a tag, it is routed.
#[test]
fn of_vlans_each_is_for_itself() -> Result<()> {
    let lab = Lab::new()?;
    let _container = Container::behind(&lab, "21")?;
    send_no_redirects(&lab)?;
    for (host, last) in [(&lab.server, 1), (&lab.client, 2), (&lab.stranger, 3)] {
        let made = host
            .netns
            .ip("link add link eth0 name eth0.5 type vlan id 5");
        if made
            .as_ref()
            .is_err_and(|it| it.to_string().contains("Unknown device type"))
        {
            // Behind the harness, which hides what a test that passes prints.
            writeln!(
                io::stderr(),
                "SKIPPED: no VLANs in this kernel; `cargo xtask vm containers`"
            )?;
            return Ok(());
        }
        made?;
        host.netns.ip("link set eth0.5 up")?;
        host.netns
            .ip(&format!("addr add 192.0.2.{last}/24 dev eth0.5"))?;
    }
    let firewall = Firewall::start(&lab.server, &[])?;
    let netns = &lab.client.netns;
    let [client, neighbour] = [2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
    netns.ip(&format!("route add {neighbour} via 192.0.2.1"))?;
    let turned = ask(&lab, &firewall, client, neighbour, false);
    turned.context("by the same VLAN")?;
    netns.ip(&format!("route add {} via 192.0.2.1", lab.stranger.v4))?;
    let routed = ask(&lab, &firewall, client, lab.stranger.v4.into(), true);
    routed.context("without a tag")
}

fn assign(netns: &Netns, interface: &str, [v4, v6]: [&str; 2]) -> Result<()> {
    netns.ip(&format!(
        "addr add {v4}/24 dev {interface}\naddr add {v6}/64 dev {interface} nodad"
    ))
}

fn expect_turned(lab: &Lab, firewall: &Firewall, family: Family) -> Result<()> {
    let (from, to) = (lab.client.address(family), lab.stranger.address(family));
    ask(lab, firewall, from, to, false)
}

/// Insists that a datagram of the client's gets to the stranger by way of the server and makes a flow or none,
/// once the agent has seen which way.
fn ask(lab: &Lab, firewall: &Firewall, from: IpAddr, to: IpAddr, flow: bool) -> Result<()> {
    let resolver = SocketAddr::new(to, 53);
    let theirs = udp(&lab.stranger.netns, resolver)?;
    let ends = Wire::new(lab, &lab.stranger)?;
    let what = if flow { "a flow" } else { "no flow" };
    wait::until(what, || {
        let ours = udp(&lab.client.netns, SocketAddr::new(from, 0))?;
        let from = ours.local_addr()?;
        ours.send_to(b"query", resolver)?;
        theirs.recv_from(&mut [0; 16]).context("nothing comes")?;
        let is_query = |frame: &Vec<u8>| frame.ends_with(b"query");
        let frame =
            std::iter::repeat_with(|| ends.receive()).find(|it| it.as_ref().map_or(true, is_query));
        let sender = frame.context("no frame")??[6..12].to_vec();
        ensure!(
            sender == lab.server.mac,
            "not by way of the server: {sender:x?}"
        );
        let known = known(firewall, resolver, from, protocol::UDP)?;
        Ok((known == flow).then_some(()))
    })
}

/// The other half: what comes by another interface makes one.
#[test]
fn what_comes_by_another_interface_makes_a_flow() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, "21")?.host;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let resolver = SocketAddr::new(lab.stranger.address(family), 53);
        let theirs = udp(&lab.stranger.netns, resolver)?;
        let inside: IpAddr = container.address(family);
        let ours = udp(&container.netns, SocketAddr::new(inside, 5000))?;
        ours.send_to(b"query", resolver)?;
        let (_, from) = theirs.recv_from(&mut [0; 16])?;
        wait::until("the flow", || {
            let known = known(&firewall, resolver, from, protocol::UDP)?;
            Ok(known.then_some(()))
        })?;
        theirs.send_to(b"answer", from)?;
        ours.recv(&mut [0; 16]).context("the answer")?;
    }
    Ok(())
}
