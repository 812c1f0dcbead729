//! A daemon that a super-server starts for each connection: who listens on 21 is not who transfers.

use anyhow::Result;
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::control::Control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;

use crate::others::expect_silence;

fn start(lab: &Lab, daemon: Daemon, family: Family) -> Result<FtpServer> {
    let options = Options::new(daemon, family).with_tls(Security::EXPLICIT.tls);
    FtpServer::start(&lab.server, &options)
}

fn all_clients(lab: &Lab, daemon: Daemon, family: Family) -> Result<FtpServer> {
    let server = start(lab, daemon, family)?;
    for tool in [Tool::Curl, Tool::Lftp, Tool::Ftplib] {
        let cell = Cell {
            tool,
            mode: Mode::Epsv,
            family,
            security: Security::EXPLICIT,
        };
        run_cell(&lab.client, &server, daemon, cell)?;
    }
    Ok(server)
}

#[test]
fn works_without_a_firewall() -> Result<()> {
    for daemon in Daemon::OF_SUPER_SERVERS {
        all_clients(&Lab::new()?, daemon, Family::V4)?;
    }
    Ok(())
}

fn works_behind_the_firewall(daemon: Daemon) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
        let server = all_clients(&lab, daemon, family)?;
        let at = (server.address, server.port);
        let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
        let port = control.negotiate(Mode::Epsv)?.port()?;
        expect_silence(&firewall, &lab.stranger, at.0, port)?;
    }
    Ok(())
}

#[test]
fn vsftpd_of_inetd() -> Result<()> {
    works_behind_the_firewall(Daemon::VsftpdOfInetd)
}

#[test]
fn vsftpd_of_systemd() -> Result<()> {
    works_behind_the_firewall(Daemon::VsftpdOfSystemd)
}

#[test]
fn pyftpdlib_of_systemd() -> Result<()> {
    works_behind_the_firewall(Daemon::PyftpdlibOfSystemd)
}

/// Another super-server of the same program listens on a high port, which nobody's session opens.
#[test]
fn another_super_server_stays_closed() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    let server = start(&lab, Daemon::VsftpdOfSystemd, Family::V4)?;
    let at = (server.address, server.port);
    let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
    let other = Options {
        port: 2121,
        ..Options::new(Daemon::VsftpdOfSystemd, Family::V4)
    };
    let other = FtpServer::start(&lab.server, &other)?;
    expect_silence(&firewall, &lab.client, at.0, other.port)?;
    let negotiated = control.negotiate(Mode::Epsv)?;
    let _data = control.data(&negotiated)?;
    Ok(())
}
