//! Interfaces that a reload adds, removes, or gives another mode.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::firewall::{Firewall, mode};
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::nothing_on;
use ftpfw_tests::scene::LOGIN;
use ftpfw_tests::scripted::Scripted;

use crate::File;

const CLOSED: u16 = 45_000;

/// A host on a second link of the server's, `eth1`; and the server's address there.
fn second_link(lab: &Lab) -> Result<(Host, Ipv4Addr)> {
    let [high, low] = lab.number.to_be_bytes();
    let address = |last| Ipv4Addr::new(10, 128 + high, low, last);
    let netns = Netns::new(&format!("{}-second", lab.number))?;
    lab.server.netns.ip(&format!(
        "link add eth1 type veth peer name eth0 netns {}\n\
         addr add {}/24 dev eth1\nlink set eth1 up",
        netns.name(),
        address(1)
    ))?;
    netns.ip(&format!(
        "addr add {}/24 dev eth0\nlink set eth0 up",
        address(2)
    ))?;
    netns.wait_for_address(address(2).into())?;
    let host = Host {
        netns,
        v4: address(2),
        v6: std::net::Ipv6Addr::UNSPECIFIED,
        mac: [0x02, 0x77, 0xff, 0, 0, 2],
    };
    Ok((host, address(1)))
}

fn modes(firewall: &Firewall) -> Result<Vec<(String, String)>> {
    let status: serde_json::Value = firewall.query(&["status"])?;
    let interfaces = status["interfaces"].as_array().context("no interfaces")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(interfaces
        .iter()
        .map(|it| (text(&it["name"]), text(&it["mode"])))
        .collect())
}

#[test]
fn one_is_added_and_removed() -> Result<()> {
    let lab = Lab::new()?;
    let (host, address) = second_link(&lab)?;
    let server = lab.server.v4.into();
    for mode in ["native", "generic", "tc"] {
        let one = format!("interfaces = [\"eth0:{mode}\"]\n");
        let both = format!("interfaces = [\"eth0\", \"eth1\"]\nmode = \"{mode}\"\n");
        let file = File::new(&one)?;
        let mut firewall = file.start(&lab, &[])?;
        let open = |when: &str| -> Result<()> {
            let answer = probe(&host, address.into(), CLOSED)?;
            ensure!(answer == Answer::Refused, "{answer:?} {when}");
            Ok(())
        };
        open("before")?;
        let (event, said) = file.reload(&mut firewall, &both)?;
        ensure!(event == "reloaded", "{said}");
        expect_dropped(&firewall, &host, address.into(), CLOSED, "not-armed")?;
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        let (event, said) = file.reload(&mut firewall, &one)?;
        ensure!(event == "reloaded", "{said}");
        open("after")?;
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        nothing_on(&lab.server, "eth1")?;
        let names: Vec<_> = firewall
            .events(&[])?
            .into_iter()
            .map(|it| it.event)
            .collect();
        for name in ["interface-attached", "interface-detached"] {
            ensure!(names.iter().any(|it| it == name), "no {name}: {names:?}");
        }
    }
    Ok(())
}

#[test]
fn one_gets_another_mode() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let text = |mode| format!("interfaces = [\"eth0:{mode}\"]\n");
    let file = File::new(&text("native"))?;
    let mut firewall = file.start(&lab, &[])?;
    for mode in ["tc", "generic", "native", "generic", "tc", "native"] {
        let (event, said) = file.reload(&mut firewall, &text(mode))?;
        ensure!(event == "reloaded", "{said}");
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        let found = modes(&firewall)?;
        ensure!(found == [("eth0".to_owned(), mode.to_owned())], "{found:?}");
    }
    Ok(())
}

/// Of two new interfaces the second cannot be attached to: the first is left alone, and what else the
/// file says does not hold.
#[test]
fn all_of_them_or_none() -> Result<()> {
    let lab = Lab::new()?;
    let (host, address) = second_link(&lab)?;
    lab.server
        .netns
        .ip("link add sit9 type sit local 10.0.0.1 remote 10.0.0.2")
        .or_else(|_| lab.server.netns.ip("tuntap add dev sit9 mode tun"))?;
    let file = File::new("interfaces = [\"eth0\"]\n")?;
    let mut firewall = file.start(&lab, &[])?;
    let text = "interfaces = [\"eth0\", \"eth1\", \"sit9\"]\nopen_ports = [45000]\n";
    let (event, said) = file.reload(&mut firewall, text)?;
    ensure!(event == "reload-failed" && said.contains("sit9"), "{said}");
    let answer = probe(&host, address.into(), CLOSED)?;
    ensure!(answer == Answer::Refused, "{answer:?}");
    nothing_on(&lab.server, "eth1")?;
    expect_dropped(
        &firewall,
        &lab.client,
        lab.server.v4.into(),
        CLOSED,
        "not-armed",
    )
}

/// A session lives on while its interface is not looked after, and what was said meanwhile was said to nobody:
/// the next command gets through all the same, and arms.
#[test]
fn one_that_comes_back_has_its_sessions() -> Result<()> {
    let lab = Lab::new()?;
    let (host, address) = second_link(&lab)?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let IpAddr::V4(to) = server.address else {
        bail!("{} is no address of IPv4", server.address);
    };
    host.netns.ip(&format!("route add {to}/32 via {address}"))?;
    let _listener = server.listen(CLOSED)?;
    let one = format!("interfaces = [\"eth0\"]\nmode = \"{}\"\n", mode());
    let both = one.replace("\"eth0\"", "\"eth0\", \"eth1\"");
    let file = File::new(&both)?;
    let mut firewall = file.start(&lab, &[])?;
    let mut talk = server.talk(&host.netns)?;
    talk.play(&LOGIN)?;
    for text in [&one, &both] {
        let (event, said) = file.reload(&mut firewall, text)?;
        ensure!(event == "reloaded", "{said}");
        talk.play(&["C NOOP", "S 200 ok"])?;
    }
    expect_dropped(&firewall, &host, server.address, CLOSED, "not-armed")?;
    talk.play(&["C EPSV", &format!("S 229 Extended (|||{CLOSED}|)")])?;
    let answer = probe(&host, server.address, CLOSED)?;
    ensure!(answer == Answer::Open, "{answer:?}");
    Ok(())
}
