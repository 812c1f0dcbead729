//! Servers × clients × kinds of TLS × modes × families.

use std::env;

use anyhow::{Result, ensure};
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::random;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::{Protection, Security, Tls};

pub const TOOLS: [Tool; 3] = [Tool::Curl, Tool::Lftp, Tool::Ftplib];

/// Every kind of security that a client can ask for, in the order of the tables.
pub const KINDS: [Security; 5] = [
    Security::EXPLICIT,
    Security::new(Tls::Explicit, Protection::Clear),
    Security::IMPLICIT,
    Security::new(Tls::Implicit, Protection::Clear),
    Security {
        ccc: true,
        ..Security::EXPLICIT
    },
];

/// The cells of a server over one kind of security and one family, as far as they work at all.
pub fn cells(daemon: Daemon, security: Security, family: Family) -> impl Iterator<Item = Cell> {
    TOOLS
        .into_iter()
        .flat_map(move |tool| Cell::all(tool, family))
        .map(move |cell| cell.over(security))
        .filter(move |cell| cell.left_out(daemon).is_none())
}

/// Whether all cells are wanted.
pub fn full() -> bool {
    env::var_os("FTPFW_FULL").is_some()
}

/// The part of the matrix that runs by default: every server, every client and every kind of
/// security, but not all with all.
fn is_sample(cell: &Cell) -> bool {
    let Cell {
        tool,
        mode,
        family,
        security,
    } = *cell;
    match (security, mode, family) {
        (Security::EXPLICIT, Mode::Pasv, _) => true,
        (Security::EXPLICIT, Mode::Epsv, Family::V6) => true,
        (Security::IMPLICIT, Mode::Epsv, Family::V4) => true,
        (Security::EXPLICIT, Mode::Eprt, Family::V6) => tool == Tool::Lftp,
        (Security::IMPLICIT, Mode::Port, _) => tool == Tool::Ftplib,
        (Security { ccc: true, .. }, Mode::Pasv, _) => true,
        (_, Mode::Epsv, Family::V6) => tool == Tool::Curl,
        _ => false,
    }
}

/// Every cell that works without it works behind the firewall.
fn behind_the_firewall(daemon: Daemon) -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    for tls in [Tls::Explicit, Tls::Implicit] {
        for family in [Family::V4, Family::V6] {
            run(&lab, daemon, tls, family)?;
        }
    }
    let stats = firewall.stats()?;
    for reason in ["not-armed", "no-tuple", "expired", "handshake-too-late"] {
        ensure!(
            stats.dropped(reason) == 0,
            "data connections were dropped: {stats:?}"
        );
    }
    firewall.wait_for_tuples("no tuple to be left", <[_]>::is_empty)
}

/// The cells of one server process.
pub fn run(lab: &Lab, daemon: Daemon, tls: Tls, family: Family) -> Result<()> {
    let kinds = KINDS.into_iter().filter(|kind| kind.tls == tls);
    let cells: Vec<Cell> = kinds
        .flat_map(|kind| cells(daemon, kind, family))
        .filter(|cell| full() || is_sample(cell))
        .collect();
    if cells.is_empty() {
        return Ok(());
    }
    let cells = random::sample(cells, daemon as usize)?;
    let options = Options::new(daemon, family).with_tls(tls);
    let server = FtpServer::start(&lab.server, &options)?;
    for cell in cells {
        run_cell(&lab.client, &server, daemon, cell)?;
    }
    Ok(())
}

#[test]
fn vsftpd() -> Result<()> {
    behind_the_firewall(Daemon::Vsftpd)
}

#[test]
fn proftpd() -> Result<()> {
    behind_the_firewall(Daemon::Proftpd)
}

#[test]
fn pure_ftpd() -> Result<()> {
    behind_the_firewall(Daemon::PureFtpd)
}

#[test]
fn pyftpdlib() -> Result<()> {
    behind_the_firewall(Daemon::Pyftpdlib)
}
