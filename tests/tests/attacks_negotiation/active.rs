//! ATTACKS 1, 2, 15, 42: where the server is told to dial, and where it dials.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{PORT, Scene};

use crate::refused;

#[test]
fn a01_bounce_by_port() -> Result<()> {
    refused(
        Family::V4,
        &[
            (&["C PORT {x},0,25", "S 200 ok"], &["bounce"]),
            (&["C PORT {x},{p}", "S 200 ok"], &["bounce"]),
            (&["C PORT {s},{p}", "S 200 ok"], &["bounce"]),
            (&["C EPRT |1|{stranger}|50000|", "S 200 ok"], &["bounce"]),
        ],
    )?;
    own_address_arms(Family::V4, "C PORT {c},{p}")
}

#[test]
fn a02_bounce_by_eprt() -> Result<()> {
    refused(
        Family::V6,
        &[
            (&["C EPRT |2|fd00::1|8080|", "S 200 ok"], &["bounce"]),
            (&["C EPRT |2|{stranger}|50000|", "S 200 ok"], &["bounce"]),
            (&["C EPRT |2|{server}|50000|", "S 200 ok"], &["bounce"]),
        ],
    )?;
    own_address_arms(Family::V6, "C EPRT |2|{client}|50000|")
}

fn own_address_arms(family: Family, command: &str) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::over(&lab, family)?;
    let mut talk = scene.logged_in()?;
    scene.play(&mut talk, &[command, "S 200 ok"])?;
    let tuple = scene.only_tuple()?;
    ensure!(
        (tuple.mode.as_str(), tuple.client_port) == ("active", Some(PORT)),
        "{tuple:?}"
    );
    Ok(())
}

#[test]
fn a15_refused_port_is_gone() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    for command in ["C PORT {c},{p}", "C EPRT |1|{client}|50000|"] {
        // Servers may dial before they say 200, so it is there until the refusal.
        scene.play(&mut talk, &[command])?;
        let tuple = scene.only_tuple()?;
        ensure!(tuple.client_port == Some(PORT), "{tuple:?}");
        scene.play(&mut talk, &["S 500 Illegal PORT command."])?;
        let tuples = scene.firewall.tuples()?;
        ensure!(tuples.is_empty(), "after the refusal: {tuples:?}");
    }
    scene.still_works(&mut talk)
}

#[test]
fn a42_bounce_on_the_way_out() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let host = &lab.stranger;
    let address = SocketAddr::new(host.v4.into(), PORT);
    let victim = host.netns.run(|| TcpListener::bind(address))??;

    // The server is fooled, and dials.
    scene.arms_nothing(&mut talk, &["C PORT {x},{p}", "S 200 ok"], &["bounce"])?;
    let before = scene.firewall.stats()?;
    let bounced = scene.server.dial_from_20(address)?;
    scene.wait_for_drops(&before, "bounce-out", 1)?;
    drop(bounced);
    victim.set_nonblocking(true)?;
    ensure!(victim.accept().is_err(), "the bounce came through");

    // What the session names may be dialled, the next port may not.
    let address = SocketAddr::new(lab.client.v4.into(), PORT);
    let named = lab.client.netns.run(|| TcpListener::bind(address))??;
    scene.play(&mut talk, &["C PORT {c},{p}", "S 200 ok"])?;
    let before = scene.firewall.stats()?;
    let _next = scene
        .server
        .dial_from_20(SocketAddr::new(address.ip(), PORT + 1))?;
    scene.wait_for_drops(&before, "bounce-out", 1)?;
    let dialled = scene.server.dial_from_20(address)?;
    let accepted = accept(&named)?;
    ensure!(accepted.peer_addr()?.port() == 20, "not from port 20");
    drop((dialled, accepted));
    // Elsewhere the host may dial: only the FTP data port is tied to sessions.
    dial(&lab.server.netns, address)?;
    Ok(())
}
