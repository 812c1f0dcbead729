//! Interfaces whose packets have no Ethernet header: the programs would take an IP header for one, and
//! let everything through.

use std::net::TcpListener;

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::netns::Netns;
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::refusal::{FAILED, nothing_left, nothing_on, refused};

/// Ways to make one, as `ip` takes them; which of them a kernel has depends on how it was built.
const KINDS: [&str; 5] = [
    "tuntap add dev bare0 mode tun",
    "link add bare0 type ipip local 10.0.0.1 remote 10.0.0.2",
    "link add bare0 type sit local 10.0.0.1 remote 10.0.0.2",
    "link add bare0 type gre local 10.0.0.1 remote 10.0.0.2",
    "link add bare0 type wireguard",
];

/// Makes as many as the kernel can, one after the other.
fn each(netns: &Netns, check: impl Fn() -> Result<()>) -> Result<()> {
    let mut made = 0;
    let mut why = Vec::new();
    for kind in KINDS {
        match netns.ip(kind) {
            Ok(()) => {
                check().with_context(|| kind.to_owned())?;
                netns.ip("link del bare0")?;
                made += 1;
            }
            Err(error) => why.push(format!("{error:#}")),
        }
    }
    if made == 0 {
        bail!("no interface without Ethernet can be made: {why:?}");
    }
    Ok(())
}

#[test]
fn an_interface_without_ethernet_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let server = &lab.server;
    let place = Place::new(server)?;
    let says = ["bare0", "no Ethernet interface"];
    each(&server.netns, || {
        for mode in ["auto", "native", "generic", "tc"] {
            let words = ["run", "-i", "bare0", "--mode", mode];
            refused(&place, &words, FAILED, &says)?;
            nothing_on(server, "bare0")?;
            nothing_left(server, &place)?;
        }
        // One that could be protected must not stay attached because of another that cannot.
        let words = ["run", "-i", "eth0", "-i", "bare0", "--keep-attached"];
        refused(&place, &words, FAILED, &says)?;
        nothing_on(server, "bare0")?;
        nothing_left(server, &place)
    })?;
    let _service = server
        .netns
        .run(|| TcpListener::bind((server.v4, 40_000)))??;
    ensure!(
        probe(&lab.client, server.v4.into(), 40_000)? == Answer::Open,
        "something filters"
    );
    Ok(())
}
