//! Sockets of another network namespace that have the server's addresses and ports: a container's,
//! say. Nothing that becomes of them says anything about the server's.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::wait;
use rustix::net::{AddressFamily, SocketType};

/// A connection between two addresses of the namespace, made and closed at both ends.
fn connect(twin: &Netns, from: SocketAddr, to: SocketAddr) -> Result<()> {
    twin.run(|| {
        let listener = TcpListener::bind(to)?;
        let family = match from {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::net::bind(&socket, &from)?;
        rustix::net::connect(&socket, &to)?;
        let (accepted, _) = listener.accept()?;
        drop((accepted, TcpStream::from(socket)));
        Ok(())
    })?
}

#[test]
fn a_connection_claims_nothing_and_a_listener_withdraws_nothing() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let twin = lab.twin(family)?;
        let mut talk = scene.logged_in()?;
        scene.negotiate(&mut talk)?;
        let (client, server) = (lab.client.address(family), scene.address());
        connect(&twin, (client, 0).into(), (server, PORT).into())?;
        scene.armed().context("a connection elsewhere")?;
        // Its own transfer claims it, and the listener's end withdraws the next one.
        scene.transfer(&mut talk)?;
        scene.negotiate(&mut talk)?;
        drop(scene.data);
        scene
            .firewall
            .wait_for_tuples("the tuple to go with its listener", <[_]>::is_empty)?;
    }
    Ok(())
}

#[test]
fn a_control_connection_ends_no_session() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let twin = lab.twin(family)?;
        let mut talk = scene.logged_in()?;
        let before: Vec<_> = scene.firewall.sessions()?.iter().map(|it| it.id).collect();
        let (client, server) = (talk.client.local_addr()?, talk.server.local_addr()?);
        connect(&twin, client, server)?;
        // A new one would be born with the next command.
        scene.still_works(&mut talk)?;
        let after: Vec<_> = scene.firewall.sessions()?.iter().map(|it| it.id).collect();
        ensure!(after == before, "sessions {before:?} became {after:?}");
        drop(talk);
        wait::until("the session to end", || {
            Ok(scene.firewall.sessions()?.is_empty().then_some(()))
        })?;
    }
    Ok(())
}
