//! Servers × clients × kinds of TLS × modes × families, with and without the firewall.

use anyhow::Result;
use ftpfw_tests::client::Tool;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::{Protection, Security, Tls};

const TOOLS: [Tool; 3] = [Tool::Curl, Tool::Lftp, Tool::Ftplib];

fn baseline(daemon: Daemon) -> Result<()> {
    let lab = Lab::new()?;
    let mut bad = 0;
    for tls in [Tls::Explicit, Tls::Implicit] {
        if !daemon.can(tls) {
            continue;
        }
        for family in [Family::V4, Family::V6] {
            let server =
                FtpServer::start(&lab.server, &Options::new(daemon, family).with_tls(tls))?;
            for tool in TOOLS {
                for protection in [Protection::Private, Protection::Clear] {
                    for cell in Cell::all(tool, family) {
                        let cell = cell.over(Security::new(tls, protection));
                        if let Err(e) = run_cell(&lab.client, &server, daemon, cell) {
                            bad += 1;
                            println!("BAD {e:?}");
                        } else {
                            println!("OK {daemon:?} {cell:?}")
                        }
                    }
                }
            }
            let mut security = Security::EXPLICIT;
            security.ccc = true;
            if tls == Tls::Explicit {
                for tool in TOOLS {
                    for cell in Cell::all(tool, family) {
                        let cell = cell.over(security);
                        if let Err(e) = run_cell(&lab.client, &server, daemon, cell) {
                            bad += 1;
                            println!("BAD {e:?}");
                        } else {
                            println!("OK {daemon:?} {cell:?}")
                        }
                    }
                }
            }
        }
    }
    println!("bad {bad}");
    Ok(())
}

#[test]
fn vsftpd() -> Result<()> {
    baseline(Daemon::Vsftpd)
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
