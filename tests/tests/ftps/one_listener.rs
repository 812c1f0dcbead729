//! The data port of a real server: closed before it is negotiated, open for one connection of one
//! client while it is, closed to everybody else at that moment, and closed again afterwards.

use std::io::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, Negotiated};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::scripted::listen_on;
use ftpfw_tests::secret::Wire;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::sockets;
use ftpfw_tests::tls::{Security, Tls};
use ftpfw_tests::wait;

use crate::others::expect_silence;

/// More than the socket buffers of both ends: the transfer cannot finish before it is read.
const SIZE: usize = 16 << 20;
const NAME: &str = "large.bin";
/// The passive ports of the server, so few that both can be tried before one is negotiated. ProFTPD
/// refuses to do with one.
const PORTS: RangeInclusive<u16> = 45_000..=45_001;

struct Scene {
    // Dropped in this order: whoever is watched goes before who watches.
    server: FtpServer,
    firewall: Firewall,
    lab: Lab,
}

impl Scene {
    /// `words`: more options of ftpfw's.
    fn new(daemon: Daemon, family: Family, tls: Tls, words: &[&str]) -> Result<Self> {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &[&["--ftps", "listener"], words].concat())?;
        let mut options = Options::new(daemon, family).with_tls(tls);
        // Pure-FTPd takes no more users than half of its ports.
        options.passive_ports = match daemon {
            Daemon::Proftpd => PORTS,
            _ => *PORTS.start()..=*PORTS.start(),
        };
        let server = FtpServer::start(&lab.server, &options)?;
        std::fs::write(server.root().join(NAME), vec![0x5a; SIZE])?;
        Ok(Self {
            server,
            firewall,
            lab,
        })
    }

    fn at(&self) -> (IpAddr, u16) {
        (self.server.address, self.server.port)
    }

    fn log_in<'a>(&self, host: &'a Host, security: Security) -> Result<Control<'a>> {
        Control::login_over(&host.netns, self.at(), security)
    }

    fn closed_to(&self, host: &Host, port: u16) -> Result<()> {
        expect_silence(&self.firewall, host, self.server.address, port)
    }

    fn is_listening(&self, port: u16) -> Result<bool> {
        Ok(sockets::listening(self.server.pid())?.contains(&port))
    }
}

fn one_client_once(daemon: Daemon, family: Family, security: Security) -> Result<()> {
    check(Scene::new(daemon, family, security.tls, &[])?, security)
}

fn check(scene: Scene, security: Security) -> Result<()> {
    let (client, stranger) = (&scene.lab.client, &scene.lab.stranger);
    let mut control = scene.log_in(client, security)?;
    for port in PORTS {
        scene
            .closed_to(client, port)
            .context("before the negotiation")?;
    }

    let negotiated = control.negotiate(Mode::Epsv)?;
    let port = negotiated.port()?;
    ensure!(PORTS.contains(&port) && scene.is_listening(port)?);
    scene.closed_to(stranger, port).context("a stranger")?;
    if security.tls == Tls::Explicit {
        let _plain = scene.log_in(stranger, Security::NONE)?;
        scene
            .closed_to(stranger, port)
            .context("a session that is not opaque")?;
    }
    let _late = scene.log_in(stranger, security)?;
    scene
        .closed_to(stranger, port)
        .context("an opaque session that began after the listener")?;

    let mut data = Wire::secret(control.data(&negotiated)?)?;
    scene
        .closed_to(client, port)
        .context("a second connection")?;
    control.send(&format!("RETR {NAME}"))?;
    // The handshake: some servers begin it before they say 150, some afterwards.
    data.flush()?;
    let reply = control.reply()?;
    ensure!(matches!(reply.code, 125 | 150), "RETR: {reply:?}");
    scene
        .closed_to(client, port)
        .context("a connection during the transfer")?;
    ensure!(data.read_all()? == vec![0x5a; SIZE], "other bytes arrived");
    // vsftpd says 226 when the client has closed, too.
    drop(data);
    ensure!(
        control.reply()?.code == 226,
        "the transfer did not complete"
    );
    scene
        .closed_to(client, port)
        .context("after the transfer")?;

    // The same number, opened by a process that is not of the daemon.
    drop(control);
    wait::until("the server's listener to be gone", || {
        Ok((!scene.is_listening(port)?).then_some(()))
    })?;
    let at = (scene.server.address, port).into();
    let _other = listen_on(&scene.lab.server.netns, at)?;
    scene
        .closed_to(client, port)
        .context("another process on the same port")
}

#[test]
fn vsftpd_explicit_v4() -> Result<()> {
    one_client_once(Daemon::Vsftpd, Family::V4, Security::EXPLICIT)
}

#[test]
fn proftpd_explicit_v6() -> Result<()> {
    one_client_once(Daemon::Proftpd, Family::V6, Security::EXPLICIT)
}

#[test]
fn pure_ftpd_explicit_v4() -> Result<()> {
    one_client_once(Daemon::PureFtpd, Family::V4, Security::EXPLICIT)
}

#[test]
fn pyftpdlib_implicit_v4() -> Result<()> {
    one_client_once(Daemon::Pyftpdlib, Family::V4, Security::IMPLICIT)
}

/// The agent alone reads that the session turns to TLS, and tells the programs.
#[test]
fn where_the_agent_opens() -> Result<()> {
    for (daemon, family) in [(Daemon::Vsftpd, Family::V6), (Daemon::Proftpd, Family::V4)] {
        let scene = Scene::new(daemon, family, Tls::Explicit, &["--opener", "agent"])?;
        check(scene, Security::EXPLICIT).context(daemon.name())?;
    }
    Ok(())
}

/// Without QUIT: the end of the control connection alone closes the port, listener or not.
#[test]
fn hanging_up_closes() -> Result<()> {
    let scene = Scene::new(Daemon::Proftpd, Family::V4, Tls::Explicit, &[])?;
    let mut control = scene.log_in(&scene.lab.client, Security::EXPLICIT)?;
    let Negotiated::Dial(at) = control.negotiate(Mode::Pasv)? else {
        anyhow::bail!("PASV gave no port to dial");
    };
    drop(control);
    scene
        .firewall
        .wait_for_tuples("nothing to be open", <[_]>::is_empty)?;
    scene.closed_to(&scene.lab.client, at.port())
}
