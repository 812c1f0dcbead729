//! A sample of `cargo xtask matrix`: every server, client, action and kind of TLS, not all with all.
//! What works without a firewall works under ftpfw, and a stranger is refused at every port.

use std::num::NonZero;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::{Deed, Mode, Tool};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::choice::Choice;
use ftpfw_tests::matrix::run::{Verdict, run};
use ftpfw_tests::matrix::side::{self, Opener, Side};
use ftpfw_tests::matrix::{Cell, perform, stranger};
use ftpfw_tests::probe::Answer;
use ftpfw_tests::random::sparse;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;
use ftpfw_user::kernel::Programs;

/// With the opener that ftpfw has on this kernel.
fn ftpfw() -> Side {
    let opener = match Programs::for_this_kernel() {
        Programs::Full => Opener::Inline,
        Programs::Early => Opener::Agent,
    };
    Side::Ftpfw(side::Mode::Native, opener)
}

fn sample(daemon: Daemon) -> Result<()> {
    let choice = Choice {
        daemons: vec![daemon],
        sides: vec![ftpfw()],
        quick: true,
        sparse: sparse()?,
        ..Choice::everything()
    };
    let (rows, done) = run(&choice, NonZero::<usize>::MIN, &|_| ());
    for done in &done {
        ensure!(done.trouble.is_none(), "{done:?}");
    }
    let mut works = 0;
    for row in &rows {
        for (side, verdict) in &row.verdicts {
            match (side, verdict) {
                (_, Verdict::Unsteady(said)) => {
                    println!("unsteady: {side:?} {:?}: {said}", row.field);
                }
                (Side::Nobody, _) => {}
                (_, Verdict::Works) => works += 1,
                (_, failed) => ensure!(false, "{:?}: {failed:?}", row.field),
            }
        }
    }
    // A sample that nothing is left of proves nothing.
    let least = 5_usize.div_ceil(sparse()?.get());
    ensure!(works >= least, "{works} of {} fields work", rows.len());
    Ok(())
}

#[test]
fn vsftpd() -> Result<()> {
    sample(Daemon::Vsftpd)
}

#[test]
fn proftpd() -> Result<()> {
    sample(Daemon::Proftpd)
}

#[test]
fn pure_ftpd() -> Result<()> {
    sample(Daemon::PureFtpd)
}

#[test]
fn pyftpdlib() -> Result<()> {
    sample(Daemon::Pyftpdlib)
}

#[test]
fn embedded() -> Result<()> {
    sample(Daemon::Embedded)
}

/// Where nobody filters, the stranger who is refused above is answered.
#[test]
fn a_stranger_is_answered_where_nobody_filters() -> Result<()> {
    let lab = Lab::new()?;
    let options = Options::new(Daemon::Vsftpd, Family::V4);
    let server = FtpServer::start(&lab.server, &options)?;
    let cell = Cell {
        tool: Tool::Curl,
        mode: Mode::Pasv,
        family: Family::V4,
        security: Security::NONE,
    };
    let (done, probed) = stranger::meanwhile(&lab, server.address, || {
        perform(&lab.client, &server, cell, Deed::Download)
    })?;
    done?;
    let (port, answer) = *probed.first().context("no data connection was seen")?;
    ensure!(answer != Answer::Silent, "port {port} was silent");
    Ok(())
}
