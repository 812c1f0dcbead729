//! Who claims a tuple whose daemon is in a container: only a client that answers.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::keys::TupleKey;
use ftpfw_common::abi::values::Mode;
use ftpfw_tests::container::Container;
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::Ghost;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::wait;
use ftpfw_tests::wire::Wire;
use ftpfw_user::kernel::{Maps, PinDir, tuples::Owner};
use rustix::net::sockopt::set_socket_linger;

use crate::{FAMILIES, SECOND, close_after, segment, wait_for_drop};

const PORT: u16 = 45_000;
const MSS: u16 = 1400;
const HOUR: u64 = 3_600_000_000_000;

struct Scene {
    firewall: Firewall,
    /// The container's.
    data: TcpListener,
    container: Container,
}

impl Scene {
    fn new(lab: &Lab, family: Family) -> Result<Self> {
        let container = Container::behind(lab, &PORT.to_string())?;
        let inside = SocketAddr::new(container.host.address(family), PORT);
        Ok(Self {
            data: container.host.netns.run(|| TcpListener::bind(inside))??,
            firewall: Firewall::start(&lab.server, &[])?,
            container,
        })
    }

    /// As a session with a daemon in the container would.
    fn arm(&self, client: std::net::IpAddr, server: std::net::IpAddr) -> Result<()> {
        let maps = Maps::open(&PinDir::new(self.firewall.place().pins.clone()))?;
        let owner = Owner {
            forwarded: true,
            ..Owner::new(0, Mode::Passive)
        };
        let key = TupleKey::passive(client.into(), server.into(), PORT);
        maps.tuples()?.arm(key, owner, HOUR)?;
        self.wait_for("armed")
    }

    fn wait_for(&self, state: &str) -> Result<()> {
        self.firewall.wait_for_tuples(
            &format!("the tuple to be {state}"),
            |tuples| matches!(tuples, [tuple] if tuple.state == state),
        )
    }

    fn nobody_else_came(&self) -> Result<()> {
        self.data.set_nonblocking(true)?;
        ensure!(self.data.accept().is_err(), "another came through too");
        Ok(())
    }
}

/// Two handshakes of one address at once: both SYNs may pass, one connection comes about.
#[test]
fn of_two_handshakes_at_once_one_succeeds() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab, family)?;
        let haunt = Haunt::new(&lab, family)?;
        scene.arm(haunt.address, lab.server.address(family))?;

        let (slow, server) = (haunt.socket(), haunt.server(PORT));
        haunt.send(segment("S", 1, 0).frame(slow, server))?;
        let answer = haunt.receive(slow, server).context("the SYN's answer")?;
        ensure!(answer.tcp.syn && answer.tcp.ack, "{answer:?}");
        let _fast = Ghost::connect(&haunt, PORT, MSS)?;
        scene.wait_for("claimed")?;

        let before = scene.firewall.stats()?.dropped("handshake-too-late");
        let acknowledgment = answer.tcp.sequence_number.wrapping_add(1);
        haunt.send(segment("A", 2, acknowledgment).frame(slow, server))?;
        wait_for_drop(&scene.firewall, "handshake-too-late", before)?;
        accept(&scene.data).context("the first")?;
        scene.nobody_else_came()?;
    }
    Ok(())
}

/// The daemon aborts a transfer (`ABOR`, a crash): its RST ends what is known of the connection, as a
/// FIN does.
#[test]
fn a_connection_that_the_container_resets_is_over() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab, family)?;
        let (client, server) = (lab.client.address(family), lab.server.address(family));
        scene.arm(client, server)?;
        let _data = dial(&lab.client.netns, SocketAddr::new(server, PORT))?;
        let inside = accept(&scene.data)?;
        scene.wait_for("claimed")?;
        close_after(&scene.firewall, SECOND)?;
        set_socket_linger(&inside, Some(Duration::ZERO))?;
        drop(inside);
        scene
            .firewall
            .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
        expect_dropped(&scene.firewall, &lab.client, server, PORT, "not-armed")?;
    }
    Ok(())
}

/// Somebody else's SYN in the client's name: the container answers the client, whose kernel knows
/// nothing of it and says so by a RST.
#[test]
fn a_spoofed_syn_and_the_victims_rst_claim_nothing() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab, family)?;
        let (client, server) = (lab.client.address(family), lab.server.address(family));
        scene.arm(client, server)?;
        // So that the server need not ask where the client is.
        ensure!(
            ftpfw_tests::probe::probe(&lab.client, server, 2)?
                == ftpfw_tests::probe::Answer::Refused,
            "the server does not answer"
        );
        let spoofer = Wire::new(&lab, &lab.stranger)?;
        let before = scene.firewall.stats()?.pass["flow"];
        let (from, to) = (SocketAddr::new(client, 7777), SocketAddr::new(server, PORT));
        spoofer.send(&lab.server, segment("S", 1, 0).frame(from, to))?;
        wait::until("the client's RST", || {
            let passed = scene.firewall.stats()?.pass["flow"] - before;
            Ok((passed > 0).then_some(()))
        })?;
        scene.wait_for("armed").context("the RST burnt the tuple")?;
        // Nor does a segment that goes on blindly: only who got the SYN-ACK knows its number.
        for acknowledged in [0, 1, 0x0202_0202] {
            let before = scene.firewall.stats()?.pass["flow"];
            let blind = segment("A", 2, acknowledged).frame(from, to);
            spoofer.send(&lab.server, blind)?;
            wait::until("the spoofed ACK", || {
                let passed = scene.firewall.stats()?.pass["flow"] - before;
                Ok((passed > 0).then_some(()))
            })?;
            scene.wait_for("armed").context("the ACK burnt the tuple")?;
        }

        let data = dial(&lab.client.netns, to).context("the client's own")?;
        scene.wait_for("claimed")?;
        ensure!(
            accept(&scene.data)?.peer_addr()? == data.local_addr()?,
            "somebody else came through"
        );
        scene.nobody_else_came()?;
        ensure!(
            scene.container.host.address(family) != server,
            "behind the server, not on it"
        );
    }
    Ok(())
}
