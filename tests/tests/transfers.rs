//! The matrix behind the firewall: everything that works without it works with it, under default
//! deny of ports 1024-65535.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Tool;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::server::{Daemon, FtpServer, Options};

fn matrix(daemon: Daemon, tool: Tool, extra: &[&str]) -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, extra)?;
    let mut passive = 0;
    for family in [Family::V4, Family::V6] {
        let server = FtpServer::start(&lab.server, &Options::new(daemon, family))?;
        for cell in Cell::all(tool, family) {
            run_cell(&lab.client, &server, daemon, cell)?;
            passive += 3 * u64::from(cell.mode.is_passive());
        }
    }
    // The other half of "works": the transfers went through tuples, and no SYN had to be repeated.
    let stats = firewall.stats()?;
    let admitted = stats.pass.get("tuple").copied().unwrap_or(0);
    ensure!(
        admitted >= passive,
        "{passive} passive transfers, {admitted} SYNs admitted: {stats:?}"
    );
    for reason in ["not-armed", "no-tuple", "expired", "handshake-too-late"] {
        ensure!(
            stats.dropped(reason) == 0,
            "data connections were dropped: {stats:?}"
        );
    }
    firewall
        .wait_for_tuples("no tuple to be left", <[_]>::is_empty)
        .context("after the last")
}

#[test]
fn vsftpd_curl() -> Result<()> {
    matrix(Daemon::Vsftpd, Tool::Curl, &[])
}

#[test]
fn vsftpd_lftp() -> Result<()> {
    matrix(Daemon::Vsftpd, Tool::Lftp, &[])
}

#[test]
fn vsftpd_ftplib() -> Result<()> {
    matrix(Daemon::Vsftpd, Tool::Ftplib, &[])
}

#[test]
fn embedded_curl() -> Result<()> {
    matrix(Daemon::Embedded, Tool::Curl, &[])
}

#[test]
fn embedded_lftp() -> Result<()> {
    matrix(Daemon::Embedded, Tool::Lftp, &[])
}

#[test]
fn embedded_ftplib() -> Result<()> {
    matrix(Daemon::Embedded, Tool::Ftplib, &[])
}
