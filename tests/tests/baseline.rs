//! The matrix without ftpfw: what does not work here is no fault of the firewall.

use anyhow::Result;
use ftpfw_tests::client::Tool;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::server::{Daemon, FtpServer, Options};

fn baseline(daemon: Daemon) -> Result<()> {
    let lab = Lab::new()?;
    for family in [Family::V4, Family::V6] {
        let server = FtpServer::start(&lab.server, &Options::new(daemon, family))?;
        for tool in [Tool::Curl, Tool::Lftp, Tool::Ftplib] {
            for cell in Cell::all(tool, family) {
                run_cell(&lab.client, &server, daemon, cell)?;
            }
        }
    }
    Ok(())
}

#[test]
fn proftpd() -> Result<()> {
    baseline(Daemon::Proftpd)
}

#[test]
fn pure_ftpd() -> Result<()> {
    baseline(Daemon::PureFtpd)
}

#[test]
fn pyftpdlib() -> Result<()> {
    baseline(Daemon::Pyftpdlib)
}

#[test]
fn vsftpd() -> Result<()> {
    baseline(Daemon::Vsftpd)
}

#[test]
fn embedded() -> Result<()> {
    baseline(Daemon::Embedded)
}
