//! Listeners that a session has no claim to. The daemon is this process, so that its listeners are
//! where and when the test wants them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::values::PortEntry;
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::scripted::{Scripted, Talk};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::{Security, Tls};

const PORT: u16 = 45_000;

/// Insists that a SYN gets no answer and is counted as dropped, for whatever reason.
pub fn expect_silence(firewall: &Firewall, from: &Host, target: IpAddr, port: u16) -> Result<()> {
    let before = firewall.stats()?;
    let answer = probe(from, target, port)?;
    let after = firewall.stats()?;
    let who = from.netns.name();
    ensure!(
        answer == Answer::Silent,
        "a SYN of {who} to port {port} was answered: {answer:?}"
    );
    ensure!(
        after.drops() == before.drops() + 1,
        "a SYN of {who} to port {port} was not counted once: {before:?}, {after:?}"
    );
    Ok(())
}

/// Firewall and scripted daemon.
pub struct Scene<'a> {
    pub firewall: Firewall,
    pub daemon: Scripted<'a>,
    lab: &'a Lab,
}

impl<'a> Scene<'a> {
    pub fn new(lab: &'a Lab, family: Family) -> Result<Self> {
        let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
        Ok(Self {
            firewall,
            daemon: Scripted::start(&lab.server, family)?,
            lab,
        })
    }

    /// A session of the client that nobody can read.
    pub fn opaque(&self) -> Result<Talk> {
        let mut talk = self.daemon.talk(&self.lab.client.netns)?;
        talk.play(&["S 220 ready", "C AUTH TLS", "S 234 go on"])?;
        // The beginnings of a ClientHello and a ServerHello (RFC 8446 §5.1): no more is read.
        talk.c(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")?;
        talk.s(b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00")?;
        Ok(talk)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.daemon.address, PORT)
    }

    pub fn closed(&self) -> Result<()> {
        expect_silence(&self.firewall, &self.lab.client, self.daemon.address, PORT)
    }

    /// One connection, and no second one although the listener would take it.
    pub fn open_once(&self, listener: &TcpListener) -> Result<()> {
        let _first = dial(&self.lab.client.netns, self.address())?;
        let _taken = accept(listener)?;
        self.closed()
            .context("a second connection to a listener that still listens")
    }
}

#[test]
fn a_listener_that_goes_on_listening_is_open_once() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab, family)?;
        let _talk = scene.opaque()?;
        scene.closed().context("before it listens")?;
        let listener = scene.daemon.listen(PORT)?;
        expect_silence(&scene.firewall, &lab.stranger, scene.daemon.address, PORT)?;
        scene.open_once(&listener)?;
        drop(listener);
        // A process that another test just starts holds the old one until it runs its program.
        let next =
            ftpfw_tests::wait::until("the port to be free", || Ok(scene.daemon.listen(PORT).ok()))?;
        scene
            .open_once(&next)
            .context("the next listener on the same port")?;
    }
    Ok(())
}

#[test]
fn listeners_on_all_addresses_are_open_too() -> Result<()> {
    for everywhere in ["0.0.0.0", "::"] {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab, Family::V4)?;
        let _talk = scene.opaque()?;
        let everywhere: IpAddr = everywhere.parse()?;
        let listener = scene.daemon.listen_at(SocketAddr::new(everywhere, PORT))?;
        scene
            .open_once(&listener)
            .with_context(|| everywhere.to_string())?;
    }
    Ok(())
}

#[test]
fn a_listener_on_another_address_stays_closed() -> Result<()> {
    let lab = Lab::new()?;
    let [a, b, c, _] = lab.server.v4.octets();
    let other = Ipv4Addr::new(a, b, c, 101);
    lab.server
        .netns
        .ip(&format!("addr add {other}/24 dev eth0"))?;
    let scene = Scene::new(&lab, Family::V4)?;
    let _talk = scene.opaque()?;
    let _listener = scene
        .daemon
        .listen_at(SocketAddr::new(other.into(), PORT))?;
    for address in [other.into(), scene.daemon.address] {
        expect_silence(&scene.firewall, &lab.client, address, PORT)?;
    }
    Ok(())
}

/// One port on more addresses than are counted: those beyond are refused, and the port's policy is none of it.
#[test]
fn listeners_on_many_addresses_open_nothing_else() -> Result<()> {
    const MANY: u16 = 300;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let before = scene.firewall.stats()?;
    let listen = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 1, high, low);
        scene
            .daemon
            .listen_at(SocketAddr::new(address.into(), PORT))
    };
    let listeners = (1..=MANY).map(listen).collect::<Result<Vec<_>>>()?;
    let refused =
        scene.firewall.stats()?.refused["listeners-full"] - before.refused["listeners-full"];
    let expected = u64::from(MANY) - u64::from(PortEntry::MAX_LISTENERS);
    ensure!(refused == expected, "{refused} of {MANY} refused");
    expect_silence(&scene.firewall, &lab.stranger, scene.daemon.address, PORT)?;
    drop(listeners);
    expect_silence(&scene.firewall, &lab.stranger, scene.daemon.address, PORT)?;
    let _talk = scene.opaque()?;
    let _listener = scene.daemon.listen(PORT)?;
    let answer = probe(&lab.client, scene.daemon.address, PORT)?;
    ensure!(answer == Answer::Open, "{answer:?}");
    Ok(())
}

#[test]
fn a_listener_that_was_there_before_the_session_stays_closed() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let _listener = scene.daemon.listen(PORT)?;
    let _talk = scene.opaque()?;
    scene.closed()
}

#[test]
fn the_end_of_the_session_closes_a_listener_that_goes_on() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let talk = scene.opaque()?;
    let _listener = scene.daemon.listen(PORT)?;
    talk.reset()?;
    scene
        .firewall
        .wait_for_tuples("nothing to be open", <[_]>::is_empty)?;
    scene.closed()
}

#[test]
fn before_tls_nothing_is_open() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let mut talk = scene.daemon.talk(&lab.client.netns)?;
    talk.play(&["S 220 ready", "C AUTH TLS", "S 504 no TLS here"])?;
    let _listener = scene.daemon.listen(PORT)?;
    scene.closed()
}

/// Of a daemon that nobody has a session with: pyftpdlib on a protected port, with one of its own.
#[test]
fn another_daemons_listener_stays_closed() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    let options = Options::new(Daemon::Vsftpd, Family::V4).with_tls(Tls::Explicit);
    let server = FtpServer::start(&lab.server, &options)?;
    let at = (server.address, server.port);
    let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
    let mut options = Options::new(Daemon::Pyftpdlib, Family::V4);
    options.port = 2121;
    let other = FtpServer::start(&lab.server, &options)?;
    expect_silence(&firewall, &lab.client, other.address, other.port)?;
    // The session's own listener does not open the other's.
    let negotiated = control.negotiate(Mode::Pasv)?;
    expect_silence(&firewall, &lab.client, other.address, other.port)?;
    let _data = control.data(&negotiated)?;
    Ok(())
}
