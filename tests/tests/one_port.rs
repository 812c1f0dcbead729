//! For each mode: port N is closed before, open for one client while it is negotiated, N+1 is not,
//! and N is closed again afterwards.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, Negotiated};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::report::Tuple;
use ftpfw_tests::server::{Daemon, FtpServer, Options};

/// More than the socket buffers of both ends: the transfer cannot finish before it is read.
const SIZE: usize = 16 << 20;
const NAME: &str = "large.bin";

/// The ports of one server, so that the port is known before it is negotiated.
const PORT: u16 = 45_000;

struct Scene {
    // Dropped in this order: whoever is watched goes before who watches.
    server: FtpServer,
    firewall: Firewall,
    lab: Lab,
}

impl Scene {
    fn new(family: Family, from_port_20: bool) -> Result<Self> {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &[])?;
        let mut options = Options::new(Daemon::Vsftpd, family);
        options.passive_ports = PORT..=PORT;
        options.from_port_20 = from_port_20;
        let server = FtpServer::start(&lab.server, &options)?;
        std::fs::write(server.root().join(NAME), vec![0x5a; SIZE])?;
        Ok(Self {
            server,
            firewall,
            lab,
        })
    }

    fn address(&self) -> IpAddr {
        self.server.address
    }

    /// Nobody reaches that port, and nobody was let in anywhere.
    fn closed(&self, port: u16) -> Result<()> {
        for host in [&self.lab.client, &self.lab.stranger] {
            expect_dropped(&self.firewall, host, self.address(), port, "not-armed")?;
        }
        Ok(())
    }

    /// Waits until there is exactly one tuple, of that mode and state.
    fn wait_for_one(&self, mode: &str, state: &str) -> Result<Tuple> {
        let right = |tuples: &[Tuple]| matches!(tuples, [tuple] if tuple.mode == mode && tuple.state == state);
        self.firewall
            .wait_for_tuples(&format!("one {state} {mode} tuple"), right)?;
        self.firewall
            .tuples()?
            .pop()
            .context("the tuple was there a moment ago")
    }
}

fn passive(mode: Mode, family: Family) -> Result<()> {
    let scene = Scene::new(family, true)?;
    let (client, stranger, address) = (&scene.lab.client, &scene.lab.stranger, scene.address());
    let mut control = Control::login(&client.netns, (address, 21))?;
    scene.closed(PORT).context("before the negotiation")?;

    let negotiated = control.negotiate(mode)?;
    ensure!(negotiated.port()? == PORT, "{negotiated:?}");
    let tuple = scene.wait_for_one("passive", "armed")?;
    ensure!(
        (tuple.client, tuple.client_port) == (client.address(family), None),
        "{tuple:?}"
    );
    ensure!(
        (tuple.server, tuple.port) == (address, Some(PORT)),
        "{tuple:?}"
    );
    expect_dropped(&scene.firewall, stranger, address, PORT, "no-tuple").context("theft")?;
    scene.closed(PORT + 1).context("the port next to it")?;
    scene.closed(PORT - 1).context("the port before it")?;
    // A handshake that is never completed, as by a forged SYN, burns nothing.
    ensure!(
        probe(client, address, PORT)? == Answer::Open,
        "the client's SYN was not answered"
    );

    let data = control.data(&negotiated)?;
    control.expect(&format!("RETR {NAME}"), 150)?;
    scene.wait_for_one("passive", "claimed")?;
    for host in [client, stranger] {
        let answer = probe(host, address, PORT)?;
        ensure!(answer == Answer::Silent, "a second connection: {answer:?}");
    }

    control.receive(data, &vec![0x5a; SIZE])?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    scene.closed(PORT).context("after the transfer")
}

fn active(mode: Mode, family: Family, from_port_20: bool) -> Result<()> {
    let scene = Scene::new(family, from_port_20)?;
    let (client, address) = (&scene.lab.client, scene.address());
    let mut control = Control::login(&client.netns, (address, 21))?;
    ensure!(
        scene.firewall.tuples()?.is_empty(),
        "nothing has been negotiated"
    );

    let negotiated = control.negotiate(mode)?;
    let tuple = scene.wait_for_one("active", "armed")?;
    ensure!(tuple.client == client.address(family), "{tuple:?}");
    ensure!(tuple.client_port == Some(negotiated.port()?), "{tuple:?}");
    ensure!((tuple.server, tuple.port) == (address, None), "{tuple:?}");
    // An active tuple admits no inbound SYN, whatever port it names.
    scene
        .closed(negotiated.port()?)
        .context("an inbound SYN to the negotiated number")?;

    control.send(&format!("RETR {NAME}"))?;
    let data = control.data(&negotiated)?;
    ensure!(control.reply()?.code == 150, "the transfer did not begin");
    scene.wait_for_one("active", "claimed")?;
    let from = data.peer_addr()?.port();
    ensure!(
        (from == 20) == from_port_20,
        "the server dialled from port {from}"
    );
    if !from_port_20 {
        scene
            .closed(from)
            .context("the server's end of the data connection")?;
    }
    control.receive(data, &vec![0x5a; SIZE])?;
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)
}

/// Without QUIT: the end of the control connection alone takes the tuple away.
fn hang_up(mode: Mode, family: Family) -> Result<()> {
    let scene = Scene::new(family, true)?;
    let mut control = Control::login(&scene.lab.client.netns, (scene.address(), 21))?;
    let negotiated = control.negotiate(mode)?;
    let kind = if mode.is_passive() {
        "passive"
    } else {
        "active"
    };
    scene.wait_for_one(kind, "armed")?;
    drop(control);
    scene
        .firewall
        .wait_for_tuples("the tuple to be withdrawn", <[_]>::is_empty)?;
    if let Negotiated::Dial(address) = negotiated {
        scene.closed(address.port())?;
    }
    Ok(())
}

#[test]
fn pasv() -> Result<()> {
    passive(Mode::Pasv, Family::V4)
}

#[test]
fn epsv_v4() -> Result<()> {
    passive(Mode::Epsv, Family::V4)
}

#[test]
fn epsv_v6() -> Result<()> {
    passive(Mode::Epsv, Family::V6)
}

#[test]
fn port_from_port_20() -> Result<()> {
    active(Mode::Port, Family::V4, true)
}

#[test]
fn port_from_an_ephemeral_port() -> Result<()> {
    active(Mode::Port, Family::V4, false)
}

#[test]
fn eprt_v4() -> Result<()> {
    active(Mode::Eprt, Family::V4, true)
}

#[test]
fn eprt_v6_from_an_ephemeral_port() -> Result<()> {
    active(Mode::Eprt, Family::V6, false)
}

#[test]
fn hanging_up_withdraws_a_passive_tuple() -> Result<()> {
    hang_up(Mode::Epsv, Family::V6)
}

#[test]
fn hanging_up_withdraws_an_active_tuple() -> Result<()> {
    hang_up(Mode::Port, Family::V4)
}
