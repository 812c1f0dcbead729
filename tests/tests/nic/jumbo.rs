//! Jumbo frames: 9,000 bytes are more than one page, so a frame has several buffers.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::{Action, Mode, Outcome, Tool, transfer};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::haunt::dissect;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::server::{Daemon, FtpServer, INCOMING, Options};
use ftpfw_tests::wire::Wire;

const MTU: usize = 9000;
const ETHERNET: usize = 14;
const SIZE: usize = 24 << 20;

/// Makes the cables of a laboratory wide, and has its hosts send frames as the wire would carry them:
/// no super-packets, whose length says nothing of the MTU.
fn widen(lab: &Lab) -> Result<()> {
    for role in ["server", "client", "stranger"] {
        lab.switch.ip(&format!("link set dev {role} mtu {MTU}"))?;
    }
    for host in [&lab.server, &lab.client, &lab.stranger] {
        host.netns
            .ip(&format!("link set dev eth0 mtu {MTU} gso_max_segs 1"))?;
    }
    Ok(())
}

/// Waits for a frame with data, as long as can be, from one host to the other.
fn full_frame(witness: &Wire, from: &Host, to: &Host) -> Result<()> {
    loop {
        let frame = witness.receive().context("no frame of full length")?;
        let Some((sender, receiver, segment)) = dissect(&frame) else {
            continue;
        };
        let ours = [from, to].map(|host| [host.v4.into(), host.v6.into()]);
        if !ours[0].contains(&sender.ip()) || !ours[1].contains(&receiver.ip()) {
            continue;
        }
        ensure!(
            frame.len() <= MTU + ETHERNET,
            "a super-packet of {} bytes",
            frame.len()
        );
        if frame.len() == MTU + ETHERNET && !segment.payload.is_empty() {
            return Ok(());
        }
    }
}

fn content() -> Vec<u8> {
    (0..SIZE as u32)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)).to_le_bytes()[0].wrapping_mul(31))
        .collect()
}

/// A large download and a large upload; `before`: the cables are wide before the filter is attached.
fn bulk(family: Family, mode: Mode, before: bool) -> Result<()> {
    let content = content();
    let lab = Lab::new()?;
    if before {
        widen(&lab)?;
    }
    let firewall = Firewall::start(&lab.server, &[])?;
    if !before {
        widen(&lab)?;
    }
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, family))?;
    fs::write(server.root().join("bulk"), &content)?;
    let upload = format!("{INCOMING}/bulk");
    let curl = |action| -> Result<Outcome> {
        let address = (server.address, server.port);
        let outcome = transfer(&lab.client.netns, Tool::Curl, mode, address, action)?;
        ensure!(
            outcome.success && outcome.modes == [mode],
            "{}",
            outcome.log
        );
        Ok(outcome)
    };

    let witness = Wire::new(&lab, &lab.client)?;
    let received = curl(Action::Download("bulk"))?.received;
    ensure!(received == content, "other bytes arrived");
    full_frame(&witness, &lab.server, &lab.client).context("downloading")?;

    let witness = Wire::new(&lab, &lab.client)?;
    curl(Action::Upload(&upload, &content))?;
    let stored = fs::read(server.root().join(&upload))?;
    ensure!(stored == content, "other bytes were stored");
    full_frame(&witness, &lab.client, &lab.server).context("uploading")?;

    firewall.wait_for_tuples("no tuple to be left", <[_]>::is_empty)?;
    let stats = firewall.stats()?;
    ensure!(stats.drops() == 0, "dropped: {stats:?}");
    for host in [&lab.client, &lab.stranger] {
        expect_dropped(&firewall, host, server.address, 40_000, "not-armed")?;
    }
    Ok(())
}

#[test]
fn bulk_transfers_in_both_directions() -> Result<()> {
    bulk(Family::V4, Mode::Pasv, true)?;
    bulk(Family::V6, Mode::Epsv, true)
}

#[test]
fn the_mtu_grows_under_the_filter() -> Result<()> {
    bulk(Family::V4, Mode::Epsv, false)
}
