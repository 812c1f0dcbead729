//! `--protect`, `--open-port`, `--udp`.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe, scan};
use ftpfw_tests::wait;

use crate::{FAMILIES, delivered, udp};

/// Insists that a datagram to that port is dropped; the socket there hears nothing of it.
fn undelivered(firewall: &Firewall, from: &UdpSocket, to: &UdpSocket) -> Result<()> {
    let address = to.local_addr()?;
    let before = firewall.stats()?.dropped("udp-unsolicited");
    from.send_to(b"unsolicited", address)?;
    wait::until(&format!("a datagram to {address} to be dropped"), || {
        Ok((firewall.stats()?.dropped("udp-unsolicited") > before).then_some(()))
    })?;
    to.set_nonblocking(true)?;
    ensure!(
        to.recv_from(&mut [0; 16]).is_err(),
        "dropped, and delivered all the same"
    );
    Ok(to.set_nonblocking(false)?)
}

fn listen(host: &Host, family: Family, port: u16) -> Result<TcpListener> {
    let address = (host.address(family), port);
    Ok(host.netns.run(|| TcpListener::bind(address))??)
}

/// One list, a single port and a range, each for its own protocol.
#[test]
fn open_ports() -> Result<()> {
    let lab = Lab::new()?;
    let words = ["--open-port", "8080/tcp,9000-9010/udp"];
    let firewall = Firewall::start(&lab.server, &words)?;
    for family in FAMILIES {
        let (server, client) = (lab.server.address(family), &lab.client);
        let _services = [8079, 8080, 8081, 9000]
            .map(|port| listen(&lab.server, family, port))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        ensure!(
            probe(client, server, 8080)? == Answer::Open,
            "8080/tcp is not open"
        );
        for port in [8079, 8081, 9000, 9010] {
            expect_dropped(&firewall, client, server, port, "not-armed")?;
        }
        let from = udp(client, family, 4000)?;
        for port in [9000, 9005, 9010] {
            delivered(&from, &udp(&lab.server, family, port)?)?;
        }
        for port in [8080, 8999, 9011] {
            undelivered(&firewall, &from, &udp(&lab.server, family, port)?)?;
        }
        let opened = firewall.stats()?.pass["open-port"];
        ensure!(opened > 0, "nothing passed as to an open port");
    }
    Ok(())
}

/// Without a protocol a range is open for both.
#[test]
fn open_ports_of_both_protocols() -> Result<()> {
    let lab = Lab::new()?;
    let words = ["--open-port", "7000-7001", "--open-port", "7003"];
    let firewall = Firewall::start(&lab.server, &words)?;
    for family in FAMILIES {
        let server = lab.server.address(family);
        let from = udp(&lab.client, family, 4000)?;
        for port in [7000, 7001, 7003] {
            // Nothing listens: that somebody says so is enough.
            let answer = probe(&lab.client, server, port)?;
            ensure!(answer == Answer::Refused, "{port}/tcp: {answer:?}");
            delivered(&from, &udp(&lab.server, family, port)?)?;
        }
        for port in [6999, 7002, 7004] {
            expect_dropped(&firewall, &lab.client, server, port, "not-armed")?;
            undelivered(&firewall, &from, &udp(&lab.server, family, port)?)?;
        }
    }
    Ok(())
}

#[test]
fn another_protected_range() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--protect", "2000-3000"])?;
    for family in FAMILIES {
        let server = lab.server.address(family);
        for port in [2000, 2500, 3000] {
            expect_dropped(&firewall, &lab.client, server, port, "not-armed")?;
        }
        for (port, answer) in scan(&lab.client, server, [1024, 1999, 3001, 65_535])? {
            ensure!(
                answer == Answer::Refused,
                "port {port} is not protected, yet {answer:?}"
            );
        }
        let from = udp(&lab.client, family, 4000)?;
        undelivered(&firewall, &from, &udp(&lab.server, family, 3000)?)?;
        delivered(&from, &udp(&lab.server, family, 3001)?)?;
    }
    Ok(())
}

#[test]
fn udp_is_let_through_or_not() -> Result<()> {
    for (word, passes) in [("pass", true), ("drop", false)] {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--udp", word])?;
        for family in FAMILIES {
            let (from, to) = (
                udp(&lab.stranger, family, 4000)?,
                udp(&lab.server, family, 5000)?,
            );
            if passes {
                delivered(&from, &to)
            } else {
                undelivered(&firewall, &from, &to)
            }
            .with_context(|| format!("--udp {word}"))?;
            // TCP is not asked about.
            let server = lab.server.address(family);
            expect_dropped(&firewall, &lab.stranger, server, 5000, "not-armed")?;
        }
    }
    Ok(())
}
