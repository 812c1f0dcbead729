//! An FTP daemon in a container, its ports published one to one.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::container::Container;
use ftpfw_tests::control::{Control, Negotiated, dial, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::report::Tuple;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::wait;
use ftpfw_user::kernel::{Maps, PinDir, Wire as Bytes};

use crate::{SECOND, close_after};

const PORT: u16 = 45_000;
const PUBLISHED: &str = "21, 45000-45009";
/// More than the socket buffers of both ends: the transfer cannot finish before it is read.
const SIZE: usize = 16 << 20;
const NAME: &str = "large.bin";

struct Scene {
    // Dropped in this order: whoever is watched goes before who watches.
    server: FtpServer,
    firewall: Firewall,
    /// The server's, which clients know.
    address: IpAddr,
    _container: Container,
    lab: Lab,
}

impl Scene {
    fn new(
        family: Family,
        passive_ports: std::ops::RangeInclusive<u16>,
        opener: &str,
    ) -> Result<Self> {
        let lab = Lab::new()?;
        let container = Container::behind(&lab, PUBLISHED)?;
        let firewall = Firewall::start(&lab.server, &["--opener", opener])?;
        let mut options = Options::new(Daemon::Vsftpd, family);
        options.passive_ports = passive_ports;
        options.announced = (family == Family::V4).then_some(lab.server.v4);
        let mut server = FtpServer::start(&container.host, &options)?;
        std::fs::write(server.root().join(NAME), vec![0x5a; SIZE])?;
        let address = lab.server.address(family);
        server.address = address;
        Ok(Self {
            server,
            firewall,
            address,
            _container: container,
            lab,
        })
    }

    fn wait_for_one(&self, state: &str) -> Result<Tuple> {
        let right = |tuples: &[Tuple]| matches!(tuples, [tuple] if tuple.mode == "passive" && tuple.state == state);
        self.firewall
            .wait_for_tuples(&format!("one {state} passive tuple"), right)?;
        self.firewall.tuples()?.pop().context("it was there")
    }

    /// Nobody reaches that port, and nobody was let in anywhere.
    fn closed(&self, port: u16) -> Result<()> {
        for host in [&self.lab.client, &self.lab.stranger] {
            expect_dropped(&self.firewall, host, self.address, port, "not-armed")?;
        }
        Ok(())
    }
}

fn download(mode: Mode, family: Family, opener: &str) -> Result<()> {
    let scene = Scene::new(family, PORT..=PORT, opener)?;
    close_after(&scene.firewall, SECOND)?;
    let (client, stranger) = (&scene.lab.client, &scene.lab.stranger);
    let mut control = Control::login(&client.netns, (scene.address, scene.server.port))?;
    scene.closed(PORT).context("before the negotiation")?;

    let negotiated = control.negotiate(mode)?;
    ensure!(negotiated.port()? == PORT, "{negotiated:?}");
    let tuple = scene.wait_for_one("armed")?;
    ensure!(
        (tuple.client, tuple.server) == (client.address(family), scene.address),
        "{tuple:?}"
    );
    expect_dropped(&scene.firewall, stranger, scene.address, PORT, "no-tuple")?;
    scene.closed(PORT + 1).context("the port next to it")?;

    let Negotiated::Dial(address) = negotiated else {
        anyhow::bail!("not passive");
    };
    let mut data = dial(&client.netns, address)?;
    control.expect(&format!("RETR {NAME}"), 150)?;
    let tuple = scene.wait_for_one("claimed")?;
    ensure!(
        tuple.client_port == Some(data.local_addr()?.port()),
        "{tuple:?}"
    );
    scene.closed(PORT).context("a second connection")?;

    ensure!(
        read_all(&mut data)? == vec![0x5a; SIZE],
        "other bytes arrived"
    );
    ensure!(control.reply()?.code == 226, "not completed");
    drop(data);
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    let finished = scene.firewall.events(&[])?;
    ensure!(
        finished.iter().any(|it| it.event == "finished"),
        "nobody was told of its end: {finished:?}"
    );
    scene.closed(PORT).context("after the transfer")
}

#[test]
fn pasv() -> Result<()> {
    download(Mode::Pasv, Family::V4, "inline")
}

#[test]
fn epsv() -> Result<()> {
    download(Mode::Epsv, Family::V4, "inline")
}

#[test]
fn epsv_over_ipv6() -> Result<()> {
    download(Mode::Epsv, Family::V6, "inline")
}

#[test]
fn pasv_opened_by_the_agent() -> Result<()> {
    download(Mode::Pasv, Family::V4, "agent")
}

#[test]
fn epsv_over_ipv6_opened_by_the_agent() -> Result<()> {
    download(Mode::Epsv, Family::V6, "agent")
}

/// As long as the two ends talk, nothing is over, however short the silence that ends it.
#[test]
fn a_transfer_that_goes_on_is_not_finished() -> Result<()> {
    let scene = Scene::new(Family::V4, PORT..=PORT, "inline")?;
    close_after(&scene.firewall, 0)?;
    let mut control = Control::login(&scene.lab.client.netns, (scene.address, 21))?;
    let negotiated = control.negotiate(Mode::Epsv)?;
    let mut data = control.data(&negotiated)?;
    control.expect(&format!("RETR {NAME}"), 150)?;
    scene.wait_for_one("claimed")?;
    // Two rounds of the agent, each of which would have finished it: it collects what is past its
    // deadline in each.
    for _ in 0..2 {
        wait_for_a_sweep(&scene)?;
        scene.wait_for_one("claimed")?;
    }
    ensure!(read_all(&mut data)?.len() == SIZE, "it was cut off");
    Ok(())
}

/// Waits until the agent has looked for what is over: by a tuple of nobody's that is.
fn wait_for_a_sweep(scene: &Scene) -> Result<()> {
    use ftpfw_common::abi::{keys::TupleKey, values::Mode};
    use ftpfw_user::kernel::tuples::Owner;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let key = TupleKey::passive(
        scene.lab.stranger.address(Family::V4).into(),
        scene.address.into(),
        PORT + 9,
    );
    maps.tuples()?.arm(key, Owner::new(0, Mode::Manual), 0)?;
    wait::until("the agent to look", || {
        Ok(maps.armed()?.get(&Bytes(key), 0).is_err().then_some(()))
    })
}

/// Listing, download and upload by a real client, in every mode that it has.
#[test]
fn curl() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let scene = Scene::new(family, PORT..=PORT + 9, "inline")?;
        close_after(&scene.firewall, SECOND)?;
        for cell in Cell::all(Tool::Curl, family).filter(|cell| cell.mode.is_passive()) {
            run_cell(&scene.lab.client, &scene.server, Daemon::Vsftpd, cell)?;
        }
        let stats = scene.firewall.stats()?;
        for reason in ["not-armed", "no-tuple", "handshake-too-late"] {
            ensure!(stats.dropped(reason) == 0, "dropped: {stats:?}");
        }
        scene
            .firewall
            .wait_for_tuples("no tuple to be left", <[_]>::is_empty)?;
    }
    Ok(())
}

/// Active: the container dials, and what it dialled answers to a port that is not protected.
#[test]
fn curl_dialled_by_the_container() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let scene = Scene::new(family, PORT..=PORT + 9, "inline")?;
        for cell in Cell::all(Tool::Curl, family).filter(|cell| !cell.mode.is_passive()) {
            run_cell(&scene.lab.client, &scene.server, Daemon::Vsftpd, cell)?;
        }
    }
    Ok(())
}

/// Its sockets are elsewhere, so no tracepoint tells its end.
#[test]
fn a_session_that_has_ended_is_forgotten() -> Result<()> {
    let scene = Scene::new(Family::V4, PORT..=PORT, "inline")?;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let login = || Control::login(&scene.lab.client.netns, (scene.address, 21));
    let (goes_on, mut ends) = (login()?, login()?);
    ensure!(maps.sessions()?.len() == 2, "not two sessions");
    ends.expect("QUIT", 221)?;
    wait::until("the session to be forgotten", || {
        let left = maps.sessions()?;
        let port = goes_on.local()?.port();
        ensure!(
            left.iter().any(|(key, _)| key.client_port == port),
            "not the other"
        );
        Ok((left.len() == 1).then_some(()))
    })
}
