//! `--ftps range` and `--ftps deny`.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::control::Control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;

use crate::others::expect_silence;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn cell(tool: Tool, mode: Mode, family: Family) -> Cell {
    Cell {
        tool,
        mode,
        family,
        security: Security::EXPLICIT,
    }
}

#[test]
fn a_range_is_open_to_who_has_a_session() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let words = ["--ftps", "range", "--passive-ports", "50000-50100"];
        let firewall = Firewall::start(&lab.server, &words)?;
        let mut options = Options::new(Daemon::Vsftpd, family).with_tls(Security::EXPLICIT.tls);
        options.passive_ports = 50_000..=50_100;
        let server = FtpServer::start(&lab.server, &options)?;
        for tool in [Tool::Curl, Tool::Lftp, Tool::Ftplib] {
            run_cell(
                &lab.client,
                &server,
                Daemon::Vsftpd,
                cell(tool, Mode::Epsv, family),
            )?;
        }
        let (at, client) = ((server.address, server.port), &lab.client);
        expect_silence(&firewall, client, at.0, 50_001).context("without a session")?;
        let mut control = Control::login_over(&client.netns, at, Security::EXPLICIT)?;
        let port = control.negotiate(Mode::Epsv)?.port()?;
        ensure!(options.passive_ports.contains(&port), "port {port}");
        expect_silence(&firewall, &lab.stranger, at.0, port).context("a stranger")?;
        for port in [49_999, 50_101] {
            expect_silence(&firewall, client, at.0, port).context("outside the range")?;
        }
    }
    Ok(())
}

#[test]
fn denied_passive_is_closed_and_active_works() -> Result<()> {
    for family in FAMILIES {
        for security in [Security::EXPLICIT, Security::IMPLICIT] {
            let lab = Lab::new()?;
            let firewall = Firewall::start(&lab.server, &["--ftps", "deny"])?;
            let options = Options::new(Daemon::Vsftpd, family).with_tls(security.tls);
            let server = FtpServer::start(&lab.server, &options)?;
            let at = (server.address, server.port);
            let mut control = Control::login_over(&lab.client.netns, at, security)?;
            let port = control.negotiate(Mode::Epsv)?.port()?;
            expect_dropped(&firewall, &lab.client, at.0, port, "not-armed")?;
            for tool in [Tool::Lftp, Tool::Ftplib] {
                let active = cell(tool, Mode::Eprt, family).over(security);
                if Cell::all(tool, family).any(|cell| cell.over(security) == active) {
                    run_cell(&lab.client, &server, Daemon::Vsftpd, active)?;
                }
            }
        }
    }
    Ok(())
}
