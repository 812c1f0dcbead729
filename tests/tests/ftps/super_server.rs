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

fn start(lab: &Lab, family: Family) -> Result<FtpServer> {
    let options = Options::new(Daemon::VsftpdOfInetd, family).with_tls(Security::EXPLICIT.tls);
    FtpServer::start(&lab.server, &options)
}

fn all_clients(lab: &Lab, server: &FtpServer, family: Family) -> Result<()> {
    for tool in [Tool::Curl, Tool::Lftp, Tool::Ftplib] {
        let cell = Cell {
            tool,
            mode: Mode::Epsv,
            family,
            security: Security::EXPLICIT,
        };
        run_cell(&lab.client, server, Daemon::VsftpdOfInetd, cell)?;
    }
    Ok(())
}

#[test]
fn works_without_a_firewall() -> Result<()> {
    let lab = Lab::new()?;
    all_clients(&lab, &start(&lab, Family::V4)?, Family::V4)
}

#[test]
fn works_behind_the_firewall() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
        let server = start(&lab, family)?;
        all_clients(&lab, &server, family)?;
        let at = (server.address, server.port);
        let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
        let port = control.negotiate(Mode::Epsv)?.port()?;
        expect_silence(&firewall, &lab.stranger, at.0, port)?;
    }
    Ok(())
}
