//! Several interfaces, and interfaces that go, come back or are renamed under the filter.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::{Firewall, mode};
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::report::Stats;
use ftpfw_tests::scene::{LOGIN, PORT};
use ftpfw_tests::scripted::Scripted;

const CLOSED: u16 = 45_000;
const MAC: [u8; 6] = [0x02, 0x77, 0xff, 0, 0, 2];

/// A second link of the server's, `eth1`, to a host that is on the first one too and forwards.
struct Neighbour {
    host: Host,
    /// The server's address on this link.
    server: Ipv4Addr,
}

impl Neighbour {
    fn new(lab: &Lab) -> Result<Self> {
        let [high, low] = lab.number.to_be_bytes();
        let address = |last| Ipv4Addr::new(10, 128 + high, low, last);
        let netns = Netns::new(&format!("{}-neighbour", lab.number))?;
        let near = Ipv4Addr::new(10, 64 + high, low, 200);
        lab.switch.ip(&format!(
            "link add neighbour type veth peer name eth1 netns {}\n\
             link set neighbour master br0\nlink set neighbour up",
            netns.name()
        ))?;
        netns.ip(&format!("addr add {near}/24 dev eth1\nlink set eth1 up"))?;
        netns.sysctl("ipv4/ip_forward", "1")?;
        let neighbour = Self {
            host: Host {
                netns,
                v4: address(2),
                v6: Ipv6Addr::UNSPECIFIED,
                mac: MAC,
            },
            server: address(1),
        };
        neighbour.connect(lab)?;
        Ok(neighbour)
    }

    /// Makes the link, and with it `eth1` of the server.
    fn connect(&self, lab: &Lab) -> Result<()> {
        let name = self.host.netns.name();
        lab.server.netns.ip(&format!(
            "link add eth1 type veth peer name eth0 netns {name}\n\
             addr add {}/24 dev eth1\nlink set eth1 up",
            self.server
        ))?;
        self.host.netns.ip(&format!(
            "addr add {}/24 dev eth0\nlink set eth0 up",
            self.host.v4
        ))?;
        for netns in [&lab.server.netns, &self.host.netns] {
            for interface in ["all", "eth0", "eth1"] {
                netns.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "0")?;
            }
        }
        self.host.netns.wait_for_address(self.host.v4.into())
    }

    /// Insists that a SYN which comes by this link to a closed port is dropped.
    fn expect_dropped(&self, firewall: &Firewall) -> Result<()> {
        expect_dropped(
            firewall,
            &self.host,
            self.server.into(),
            CLOSED,
            "not-armed",
        )
    }

    /// Insists that a SYN which comes by this link to a closed port is answered: by a RST.
    fn expect_open(&self) -> Result<()> {
        let answer = probe(&self.host, self.server.into(), CLOSED)?;
        ensure!(answer == Answer::Refused, "{answer:?}");
        Ok(())
    }
}

/// Packets that left by an interface.
fn sent(netns: &Netns, interface: &str) -> Result<u64> {
    let text = netns.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(&format!("{interface}:")))
        .with_context(|| format!("no {interface} in\n{text}"))?;
    let packets = line.split_whitespace().nth(9).context("too few columns")?;
    Ok(packets.parse()?)
}

fn stats_of(firewall: &Firewall, interface: &str) -> Result<Stats> {
    firewall.query(&["stats", "--interface", interface])
}

#[test]
fn a_client_comes_in_by_one_and_is_answered_by_the_other() -> Result<()> {
    let lab = Lab::new()?;
    let neighbour = Neighbour::new(&lab)?;
    lab.server.netns.ip(&format!(
        "route add {}/32 via {} dev eth1",
        lab.client.v4, neighbour.host.v4
    ))?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let listener = server.listen(PORT)?;
    let firewall = Firewall::start(&lab.server, &["-i", "eth1"])?;
    let before = sent(&lab.server.netns, "eth1")?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;
    talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
    let address = server.address;
    expect_dropped(&firewall, &lab.stranger, address, PORT, "no-tuple")?;
    let data = dial(&lab.client.netns, SocketAddr::new(address, PORT))?;
    let (_, from) = (accept(&listener)?, data.local_addr()?);
    ensure!(from.ip() == lab.client.v4);
    let after = sent(&lab.server.netns, "eth1")?;
    ensure!(after > before + 5, "the replies took another way");
    let sessions = firewall.sessions()?;
    ensure!(sessions.len() == 1, "{sessions:?}");
    Ok(())
}

#[test]
fn each_has_its_own_mode_and_counters() -> Result<()> {
    let lab = Lab::new()?;
    let neighbour = Neighbour::new(&lab)?;
    for other in ["native", "generic", "tc"] {
        let firewall = Firewall::start(&lab.server, &["-i", &format!("eth1:{other}")])?;
        let status: serde_json::Value = firewall.query(&["status"])?;
        let modes: Vec<_> = status["interfaces"]
            .as_array()
            .context("no interfaces")?
            .iter()
            .map(|it| (it["name"].as_str(), it["mode"].as_str()))
            .collect();
        ensure!(
            modes
                == [
                    (Some("eth0"), Some(mode().as_str())),
                    (Some("eth1"), Some(other))
                ],
            "{status}"
        );
        let server = lab.server.v4.into();
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        for _ in 0..2 {
            neighbour.expect_dropped(&firewall)?;
        }
        for (interface, drops) in [("eth0", 1), ("eth1", 2)] {
            let stats = stats_of(&firewall, interface)?;
            ensure!(stats.drops() == drops, "{interface}: {stats:?}");
        }
        ensure!(firewall.stats()?.drops() == 3);
        let unknown = firewall.query::<Stats>(&["stats", "-i", "eth7"]);
        let error = format!("{:#}", unknown.expect_err("eth7 has no counters"));
        ensure!(error.contains("these are: eth0, eth1"), "{error}");
    }
    Ok(())
}

#[test]
fn one_that_goes_and_comes_back_is_protected_again() -> Result<()> {
    let lab = Lab::new()?;
    let neighbour = Neighbour::new(&lab)?;
    let mut firewall = Firewall::start(&lab.server, &["-i", "eth1"])?;
    neighbour.expect_dropped(&firewall)?;
    for round in 1..=2 {
        lab.server.netns.ip("link del eth1")?;
        firewall.wait_for_count("eth1 is gone", round)?;
        let server = lab.server.v4.into();
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")
            .context("the other one, meanwhile")?;
        neighbour.connect(&lab)?;
        // Once at the start.
        firewall.wait_for_count("eth1: attached in", round + 1)?;
        neighbour.expect_dropped(&firewall)?;
    }
    // What it counted before stays in the totals.
    let (total, own) = (
        firewall.stats()?.drops(),
        stats_of(&firewall, "eth1")?.drops(),
    );
    ensure!((total, own) == (5, 1), "{total} in all, {own} of its own");
    firewall.stop()?;
    neighbour.expect_open().context("after the end")
}

#[test]
fn one_that_is_renamed_stays_protected() -> Result<()> {
    let lab = Lab::new()?;
    let neighbour = Neighbour::new(&lab)?;
    let mut firewall = Firewall::start(&lab.server, &["-i", "eth1"])?;
    lab.server
        .netns
        .ip("link set eth1 down\nlink set eth1 name lan1\nlink set lan1 up")?;
    firewall.wait_for("eth1 is called lan1 now")?;
    neighbour.expect_dropped(&firewall)?;
    ensure!(stats_of(&firewall, "lan1")?.drops() == 1);
    firewall.stop()?;
    neighbour.expect_open().context("after the end")
}

/// One that moves into a container takes no filter along.
#[test]
fn one_that_leaves_the_namespace_is_let_go() -> Result<()> {
    let lab = Lab::new()?;
    let neighbour = Neighbour::new(&lab)?;
    let mut firewall = Firewall::start(&lab.server, &["-i", "eth1"])?;
    neighbour.expect_dropped(&firewall)?;
    let elsewhere = Netns::new(&format!("{}-elsewhere", lab.number))?;
    let name = elsewhere.name();
    lab.server
        .netns
        .ip(&format!("link set eth1 netns {name}"))?;
    firewall.wait_for("eth1 is gone")?;
    elsewhere.ip(&format!(
        "addr add {}/24 dev eth1\nlink set eth1 up",
        neighbour.server
    ))?;
    neighbour.expect_open()
}

/// From mode to mode, agent after agent: no SYN gets through meanwhile.
#[test]
fn the_mode_changes_without_a_gap() -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.server.v4.into();
    let keep = |mode| ["--mode", mode, "--keep-attached"];
    let mut firewall = Firewall::start(&lab.server, &keep("native"))?;
    for mode in [
        "native", "tc", "tc", "generic", "generic", "native", "generic", "tc", "native",
    ] {
        let changed = AtomicBool::new(false);
        let (taken_over, leaks) = thread::scope(|scope| {
            let scanner = scope.spawn(|| -> Result<u32> {
                let mut leaks = 0;
                while !changed.load(Ordering::Relaxed) {
                    let answer = probe(&lab.client, server, CLOSED)?;
                    leaks += u32::from(answer != Answer::Silent);
                }
                Ok(leaks)
            });
            let taken_over = firewall.take_over(&keep(mode));
            changed.store(true, Ordering::Relaxed);
            (
                taken_over,
                scanner.join().expect("the scanner does not panic"),
            )
        });
        taken_over.with_context(|| format!("to mode {mode}"))?;
        let leaks = leaks?;
        ensure!(
            leaks == 0,
            "{leaks} SYNs got through on the way to mode {mode}"
        );
        expect_dropped(&firewall, &lab.client, server, CLOSED, "not-armed")?;
        let log = firewall.log();
        ensure!(
            log.contains(&format!("eth0: attached in {mode} mode")),
            "{log}"
        );
    }
    firewall.stop()?;
    let answer = probe(&lab.client, server, CLOSED)?;
    ensure!(answer == Answer::Refused, "{answer:?} after the end");
    Ok(())
}
