//! After CCC the control connection is plain text again, and what is negotiated there is followed. With
//! `--ftps deny` nothing else lets a data connection in.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;
use ftpfw_tests::wait;

use crate::others::expect_silence;

fn is_followed_again(daemon: Daemon, family: Family, opener: &str) -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "deny", "--opener", opener])?;
    let options = Options::new(daemon, family).with_tls(Security::EXPLICIT.tls);
    let server = FtpServer::start(&lab.server, &options)?;
    let at = (server.address, server.port);
    let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
    wait_for_tls(&firewall, true)?;
    let port = control.negotiate(Mode::Epsv)?.port()?;
    expect_dropped(&firewall, &lab.client, at.0, port, "not-armed").context("before CCC")?;

    let mut control = control.clear()?;
    // The first words in plain text tell.
    control.expect("NOOP", 200)?;
    wait_for_tls(&firewall, false)?;
    let negotiated = control.negotiate(Mode::Epsv)?;
    expect_silence(&firewall, &lab.stranger, at.0, negotiated.port()?)?;
    let tuples = firewall.tuples()?;
    let [tuple] = &tuples[..] else {
        anyhow::bail!("not one tuple: {tuples:?}");
    };
    ensure!(
        tuple.mode == "passive" && tuple.port == Some(negotiated.port()?),
        "{tuple:?}"
    );
    let _data = control.data(&negotiated)?;
    Ok(())
}

/// The only session, as `ftpfw list sessions` has it.
fn wait_for_tls(firewall: &Firewall, tls: bool) -> Result<()> {
    wait::until(&format!("a session with tls: {tls}"), || {
        let sessions = firewall.sessions()?;
        Ok((sessions.len() == 1 && sessions[0].tls == tls).then_some(()))
    })
}

#[test]
fn proftpd_v4() -> Result<()> {
    is_followed_again(Daemon::Proftpd, Family::V4, "inline")
}

#[test]
fn pure_ftpd_v6() -> Result<()> {
    is_followed_again(Daemon::PureFtpd, Family::V6, "inline")
}

#[test]
fn where_the_agent_opens() -> Result<()> {
    is_followed_again(Daemon::Proftpd, Family::V4, "agent")
}
