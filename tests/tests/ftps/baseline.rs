//! The matrix without ftpfw: what does not work here is no fault of the firewall.

use anyhow::Result;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::Cell;
use ftpfw_tests::server::Daemon;
use ftpfw_tests::tls::Tls;

use crate::matrix::{self, KINDS, TOOLS};

fn without_a_firewall(daemon: Daemon) -> Result<()> {
    say_what_is_left_out(daemon);
    let lab = Lab::new()?;
    for tls in [Tls::Explicit, Tls::Implicit] {
        for family in [Family::V4, Family::V6] {
            matrix::run(&lab, daemon, tls, family)?;
        }
    }
    Ok(())
}

fn say_what_is_left_out(daemon: Daemon) {
    for security in KINDS {
        for family in [Family::V4, Family::V6] {
            let cells = TOOLS.into_iter().flat_map(|tool| Cell::all(tool, family));
            for cell in cells.map(|cell| cell.over(security)) {
                if let Some(why) = cell.left_out(daemon) {
                    println!("left out: {daemon:?} {cell:?}: {why}");
                }
            }
        }
    }
}

#[test]
fn vsftpd() -> Result<()> {
    without_a_firewall(Daemon::Vsftpd)
}

#[test]
fn proftpd() -> Result<()> {
    without_a_firewall(Daemon::Proftpd)
}

#[test]
fn pure_ftpd() -> Result<()> {
    without_a_firewall(Daemon::PureFtpd)
}

#[test]
fn pyftpdlib() -> Result<()> {
    without_a_firewall(Daemon::Pyftpdlib)
}
