//! The matrix behind the firewall: everything that works without it works with it, under default
//! deny of ports 1024-65535.

use anyhow::{Result, ensure};
use ftpfw_tests::client::Tool;
use ftpfw_tests::early::can_open_or_say;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::report::Stats;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_user::kernel::Programs;

/// Every cell of a client, and what ftpfw counted.
fn matrix(daemon: Daemon, tool: Tool, extra: &[&str]) -> Result<Stats> {
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
    // The other half of "works": the transfers did go through tuples.
    let stats = firewall.stats()?;
    let admitted = stats.pass.get("tuple").copied().unwrap_or(0);
    ensure!(
        admitted >= passive,
        "{passive} passive transfers, {admitted} SYNs admitted: {stats:?}"
    );
    firewall.wait_for_tuples("no tuple to be left", <[_]>::is_empty)?;
    Ok(stats)
}

/// A tuple that is armed before its reply leaves the host is never late. The agent's may be.
fn nothing_was_late(stats: &Stats) -> Result<()> {
    let can_open = Programs::for_this_kernel().can_open();
    if !can_open_or_say(can_open, "whether no data connection was dropped") {
        return Ok(());
    }
    for reason in ["not-armed", "no-tuple", "expired", "handshake-too-late"] {
        ensure!(
            stats.dropped(reason) == 0,
            "data connections were dropped: {stats:?}"
        );
    }
    Ok(())
}

/// By whoever opens on this kernel.
fn by_default(daemon: Daemon, tool: Tool) -> Result<()> {
    nothing_was_late(&matrix(daemon, tool, &[])?)
}

#[test]
fn vsftpd_curl() -> Result<()> {
    by_default(Daemon::Vsftpd, Tool::Curl)
}

#[test]
fn vsftpd_lftp() -> Result<()> {
    by_default(Daemon::Vsftpd, Tool::Lftp)
}

#[test]
fn vsftpd_ftplib() -> Result<()> {
    by_default(Daemon::Vsftpd, Tool::Ftplib)
}

#[test]
fn embedded_curl() -> Result<()> {
    by_default(Daemon::Embedded, Tool::Curl)
}

#[test]
fn embedded_lftp() -> Result<()> {
    by_default(Daemon::Embedded, Tool::Lftp)
}

#[test]
fn embedded_ftplib() -> Result<()> {
    by_default(Daemon::Embedded, Tool::Ftplib)
}

/// The agent may be late: then the client's SYN is dropped, and repeated by its kernel after 1 s.
#[test]
fn the_agent_alone_opens_too() -> Result<()> {
    let stats = matrix(Daemon::Vsftpd, Tool::Curl, &["--opener", "agent"])?;
    for kind in ["pasv", "epsv", "port", "eprt"] {
        let counted = stats.negotiations.get(kind).copied().unwrap_or(0);
        ensure!(counted > 0, "no {kind} was counted: {stats:?}");
    }
    println!("SYNs that were early: {}", stats.dropped("not-armed"));
    Ok(())
}

#[test]
fn generic_mode_filters_as_native_does() -> Result<()> {
    nothing_was_late(&matrix(Daemon::Vsftpd, Tool::Curl, &["--mode", "generic"])?)
}
