//! What is not FTP: the server's own connections live, its other high ports are closed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe, scan};
use ftpfw_tests::wait;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[test]
fn replies_to_the_servers_own_tcp_pass_and_nothing_else_to_that_port() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let (server, client) = (lab.server.address(family), lab.client.address(family));
        let listener = lab.client.netns.run(|| TcpListener::bind((client, 0)))??;
        let mut ours = dial(&lab.server.netns, listener.local_addr()?)?;
        let mut theirs = accept(&listener)?;
        let port = ours.local_addr()?.port();
        ensure!(
            port >= 1024,
            "the server dialled from unprotected port {port}"
        );
        theirs.write_all(b"reply")?;
        let mut reply = [0; 5];
        ours.read_exact(&mut reply)
            .context("the reply to an outgoing connection")?;
        for host in [&lab.client, &lab.stranger] {
            expect_dropped(&firewall, host, server, port, "not-armed")?;
        }
    }
    Ok(())
}

#[test]
fn a_connection_made_before_the_attach_lives_on() -> Result<()> {
    let lab = Lab::new()?;
    for family in FAMILIES {
        let server = lab.server.address(family);
        let listener = lab
            .server
            .netns
            .run(|| TcpListener::bind((server, 8080)))??;
        let mut theirs = dial(&lab.client.netns, listener.local_addr()?)?;
        let mut ours = accept(&listener)?;

        let firewall = Firewall::start(&lab.server, &[])?;
        theirs.write_all(b"still")?;
        let mut bytes = [0; 5];
        ours.read_exact(&mut bytes)
            .context("a connection older than the firewall")?;
        expect_dropped(&firewall, &lab.client, server, 8080, "not-armed")
            .context("a new connection to the same service")?;
    }
    Ok(())
}

#[test]
fn replies_to_the_servers_own_udp_pass_and_unsolicited_udp_does_not() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let (server, client) = (lab.server.address(family), lab.client.address(family));
        let resolver = lab.client.netns.run(|| UdpSocket::bind((client, 53)))??;
        resolver.set_read_timeout(Some(wait::patience()))?;
        let asker = lab.server.netns.run(|| UdpSocket::bind((server, 0)))??;
        asker.set_read_timeout(Some(wait::patience()))?;
        let mut buffer = [0; 16];

        // Nothing was asked yet: not even the resolver may send.
        unsolicited(&firewall, &resolver, asker.local_addr()?)?;
        asker.send_to(b"query", (client, 53))?;
        let (_, from) = resolver.recv_from(&mut buffer)?;
        resolver.send_to(b"answer", from)?;
        let (length, _) = asker
            .recv_from(&mut buffer)
            .context("the answer to a query")?;
        ensure!(
            &buffer[..length] == b"answer",
            "an unsolicited datagram came through first"
        );

        // An answer to one is no invitation to all.
        let stranger = lab.stranger.address(family);
        let other = lab
            .stranger
            .netns
            .run(|| UdpSocket::bind((stranger, 53)))??;
        unsolicited(&firewall, &other, asker.local_addr()?)?;
        let other = lab.client.netns.run(|| UdpSocket::bind((client, 54)))??;
        unsolicited(&firewall, &other, asker.local_addr()?)?;
        asker.set_nonblocking(true)?;
        ensure!(
            asker.recv_from(&mut buffer).is_err(),
            "an unsolicited datagram came through"
        );
    }
    Ok(())
}

/// Sends a datagram and waits until it is counted as dropped.
fn unsolicited(firewall: &Firewall, from: &UdpSocket, to: SocketAddr) -> Result<()> {
    let before = firewall.stats()?.dropped("udp-unsolicited");
    from.send_to(b"unsolicited", to)?;
    wait::until("an unsolicited datagram to be dropped", || {
        Ok((firewall.stats()?.dropped("udp-unsolicited") > before).then_some(()))
    })
}

#[test]
fn a_service_on_a_high_port_is_closed_unless_opened() -> Result<()> {
    let lab = Lab::new()?;
    for family in FAMILIES {
        let server = lab.server.address(family);
        let netns = &lab.server.netns;
        let _open = netns.run(|| TcpListener::bind((server, 8080)))??;
        let _closed = netns.run(|| TcpListener::bind((server, 8081)))??;
        ensure!(
            probe(&lab.client, server, 8080)? == Answer::Open,
            "not even without ftpfw"
        );

        let firewall = Firewall::start(&lab.server, &[])?;
        expect_dropped(&firewall, &lab.client, server, 8080, "not-armed")?;
        drop(firewall);
        ensure!(
            probe(&lab.client, server, 8080)? == Answer::Open,
            "ftpfw is gone, its effect not"
        );

        let firewall = Firewall::start(&lab.server, &["--open-port", "8080/tcp"])?;
        ensure!(
            probe(&lab.client, server, 8080)? == Answer::Open,
            "--open-port did not open it"
        );
        expect_dropped(&firewall, &lab.client, server, 8081, "not-armed")?;
    }
    Ok(())
}

#[test]
fn the_border_of_the_protected_range() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let server = lab.server.address(family);
        for (port, answer) in scan(&lab.client, server, [2, 22, 1023])? {
            ensure!(
                answer == Answer::Refused,
                "port {port} is not protected, yet {answer:?}"
            );
        }
        for port in [1024, 65_535] {
            expect_dropped(&firewall, &lab.client, server, port, "not-armed")?;
        }
    }
    Ok(())
}

#[test]
fn a_scan_of_the_whole_range_finds_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let _service = lab
        .server
        .netns
        .run(|| TcpListener::bind((server, 3306)))??;
    let firewall = Firewall::start(&lab.server, &[])?;
    let answers = scan(&lab.stranger, server, 1024..=65_535)?;
    let seen = answers
        .iter()
        .find(|(_, answer)| **answer != Answer::Silent);
    ensure!(seen.is_none(), "the first answer of a port: {seen:?}");
    let dropped = firewall.stats()?.dropped("not-armed");
    ensure!(dropped == 64_512, "{dropped} of 64512 SYNs were counted");
    Ok(())
}
