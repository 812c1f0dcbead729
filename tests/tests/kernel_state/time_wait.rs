//! TIME_WAIT (RFC 9293 §3.6) is a state of a connection: its late segments pass, and only its own.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::accept;
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::wait;
use rustix::net::sockopt::set_socket_linger;

use crate::{FAMILIES, MSS};

/// `TCP_TIME_WAIT` of include/net/tcp_states.h, as printed.
const TIME_WAIT: &str = "06";

/// Whether the server has a connection in TIME_WAIT on that port.
fn waits(lab: &Lab, port: u16) -> Result<bool> {
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/thread-self/net/{table}"));
    let text = lab.server.netns.run(|| -> std::io::Result<String> {
        let [v4, v6] = tables.map(std::fs::read_to_string);
        Ok(v4? + &v6?)
    })??;
    let local = format!(":{port:04X}");
    Ok(text.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        matches!(fields[..], [_, from, _, TIME_WAIT, ..] if from.ends_with(&local))
    }))
}

#[test]
fn late_segments_of_a_closed_connection_pass() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let haunt = Haunt::new(&lab, family)?;
        let (mut ghost, mut control) = scene.ghost(&haunt, MSS)?;
        scene.negotiate_by(&mut ghost, &mut control)?;
        let mut data = Ghost::connect(&haunt, PORT, MSS)?;
        // Who closes first waits.
        drop(accept(&scene.data)?);
        let fin = haunt.receive(data.local, data.remote)?;
        ensure!(fin.tcp.fin, "instead of a FIN: {fin:?}");
        data.expected = data.expected.wrapping_add(1);
        let last = Segment {
            flags: "FA",
            ..data.segment(b"")
        };
        data.put(&last)?;
        haunt.receive(data.local, data.remote).context("its ACK")?;
        wait::until("TIME_WAIT", || Ok(waits(&lab, PORT)?.then_some(())))?;

        // The ACK was lost, says the client: it sends its FIN again, and is answered again.
        let before = scene.firewall.stats()?;
        data.put(&last)?;
        let answer = haunt.receive(data.local, data.remote)?;
        ensure!(answer.tcp.ack && !answer.tcp.rst, "{answer:?}");
        let after = scene.firewall.stats()?;
        let passed = after.pass["socket"] - before.pass["socket"];
        ensure!(passed == 1, "{passed} segments passed as of a socket");
        ensure!(after.drops() == before.drops(), "dropped: {after:?}");

        // Of another port of the same client's it is a segment of no connection.
        let stranger = last.frame(haunt.socket(), data.remote);
        haunt.send(stranger)?;
        scene.wait_for_drops(&after, "no-connection", 1)?;
        scene.closed(PORT, "not-armed")?;
    }
    Ok(())
}

/// The other half: a connection that nobody waits for any more.
#[test]
fn late_segments_of_a_reset_connection_do_not() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let haunt = Haunt::new(&lab, family)?;
        let (mut ghost, mut control) = scene.ghost(&haunt, MSS)?;
        scene.negotiate_by(&mut ghost, &mut control)?;
        let data = Ghost::connect(&haunt, PORT, MSS)?;
        let server = accept(&scene.data)?;
        set_socket_linger(&server, Some(Duration::ZERO))?;
        drop(server);
        let reset = haunt.receive(data.local, data.remote)?;
        ensure!(reset.tcp.rst, "instead of a RST: {reset:?}");
        ensure!(!waits(&lab, PORT)?, "TIME_WAIT after a RST");

        let before = scene.firewall.stats()?;
        // A SYN let it in once, which vouches for nothing now.
        data.put(&Segment {
            flags: "FA",
            ..data.segment(b"")
        })?;
        wait::until("a drop", || {
            let drops = scene.firewall.stats()?.drops() - before.drops();
            Ok((drops == 1).then_some(()))
        })?;
        scene.other.set_nonblocking(true)?;
        ensure!(
            scene.other.accept().is_err(),
            "somebody came to {OTHER}, which nobody negotiated"
        );
        // The control connection is another: it is alive.
        drop(ghost);
        control.set_nonblocking(true)?;
        ensure!(
            control.read(&mut [0]).is_err(),
            "the control connection ended"
        );
    }
    Ok(())
}
