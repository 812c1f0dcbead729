//! Where a dropped packet ends: before everything that looks at packets of a NIC, but for mode `tc`,
//! whose filter runs behind the taps of AF_PACKET (`__netif_receive_skb_core`).

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::{Result, ensure};
use ftpfw_tests::firewall::{self, Firewall};
use ftpfw_tests::haunt::dissect;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::wire::Wire;

use crate::FAMILIES;

const CLOSED: u16 = 40_000;
const OPEN: u16 = 8080;

/// The ports that SYNs from that address went to, up to one to [`OPEN`].
fn syns(witness: &Wire, from: IpAddr) -> Result<Vec<u16>> {
    let mut ports = Vec::new();
    loop {
        let frame = witness.receive()?;
        let Some((sender, to, received)) = dissect(&frame) else {
            continue;
        };
        if sender.ip() != from || !received.tcp.syn || received.tcp.ack {
            continue;
        }
        ports.push(to.port());
        if to.port() == OPEN {
            return Ok(ports);
        }
    }
}

#[test]
fn a_dropped_syn_is_not_seen_behind_the_filter() -> Result<()> {
    let lab = Lab::new()?;
    for family in FAMILIES {
        let (server, client) = (lab.server.address(family), lab.client.address(family));
        let listen = |port| {
            let address = SocketAddr::new(server, port);
            lab.server.netns.run(|| TcpListener::bind(address))
        };
        let _services = (listen(CLOSED)??, listen(OPEN)??);
        let witness = Wire::new(&lab, &lab.server)?;

        // Without the filter it is there: the witness can see.
        ensure!(
            probe(&lab.client, server, CLOSED)? == Answer::Open,
            "closed"
        );
        ensure!(probe(&lab.client, server, OPEN)? == Answer::Open, "closed");
        ensure!(
            syns(&witness, client)?.contains(&CLOSED),
            "the witness is blind"
        );

        let firewall = Firewall::start(&lab.server, &["--open-port", "8080/tcp"])?;
        // No SYN-ACK, no RST, and counted.
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        ensure!(probe(&lab.client, server, OPEN)? == Answer::Open, "closed");
        let seen = syns(&witness, client)?.contains(&CLOSED);
        let before_the_taps = firewall::mode() != "tc";
        ensure!(
            seen != before_the_taps,
            "mode {}: the witness saw the SYN: {seen}",
            firewall::mode()
        );
    }
    Ok(())
}
