//! Whose listener it is, where a process of the daemon's serves one session: that session's client's
//! alone, although others hold opaque sessions that are older than it.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;
use ftpfw_tests::wait;
use serde_json::Value;

use crate::others::expect_silence;

struct Scene {
    // Dropped in this order: whoever is watched goes before who watches.
    server: FtpServer,
    firewall: Firewall,
    lab: Lab,
}

impl Scene {
    fn new(daemon: Daemon, family: Family) -> Result<Self> {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
        let options = Options::new(daemon, family).with_tls(Security::EXPLICIT.tls);
        let server = FtpServer::start(&lab.server, &options)?;
        Ok(Self {
            server,
            firewall,
            lab,
        })
    }

    /// Sessions of the client and of another one.
    fn sessions(&self) -> Result<[Control<'_>; 2]> {
        let at = (self.server.address, self.server.port);
        let log_in = |host| Control::login_over(host, at, Security::EXPLICIT);
        Ok([
            log_in(&self.lab.client.netns)?,
            log_in(&self.lab.stranger.netns)?,
        ])
    }

    /// The only listener, as `ftpfw list listeners` has it.
    fn listener(&self) -> Result<Option<Value>> {
        let mut listeners: Vec<Value> = self.firewall.query(&["list", "listeners"])?;
        Ok(listeners.pop().filter(|_| listeners.is_empty()))
    }
}

fn for_one_client(daemon: Daemon, family: Family) -> Result<()> {
    let scene = Scene::new(daemon, family)?;
    let [mut control, _other] = scene.sessions()?;
    let negotiated = control.negotiate(Mode::Epsv)?;
    let client = scene.lab.client.address(family).to_string();
    wait::until("the listener to be the client's", || {
        let listener = scene.listener()?;
        Ok(listener.filter(|it| it["client"] == client.as_str() && it["session"].is_u64()))
    })?;
    let stranger = &scene.lab.stranger;
    expect_silence(
        &scene.firewall,
        stranger,
        scene.server.address,
        negotiated.port()?,
    )
    .context("the other session's client")?;
    let _data = control.data(&negotiated)?;
    Ok(())
}

#[test]
fn vsftpd() -> Result<()> {
    for_one_client(Daemon::Vsftpd, Family::V4)
}

#[test]
fn proftpd() -> Result<()> {
    for_one_client(Daemon::Proftpd, Family::V6)
}

#[test]
fn pure_ftpd() -> Result<()> {
    for_one_client(Daemon::PureFtpd, Family::V4)
}

#[test]
fn vsftpd_of_inetd() -> Result<()> {
    for_one_client(Daemon::VsftpdOfInetd, Family::V4)
}

/// One process with all sessions: nobody outside it can tell whose listener it is.
#[test]
fn pyftpdlib_stays_at_clients_with_an_opaque_session() -> Result<()> {
    let scene = Scene::new(Daemon::Pyftpdlib, Family::V4)?;
    let [mut control, _other] = scene.sessions()?;
    let port = control.negotiate(Mode::Epsv)?.port()?;
    let listener = scene.listener()?.context("one listener")?;
    ensure!(listener["client"].is_null(), "{listener}");
    let answer = probe(&scene.lab.stranger, scene.server.address, port)?;
    ensure!(answer == Answer::Open, "{answer:?}");
    Ok(())
}
