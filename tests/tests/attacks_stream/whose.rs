//! ATTACKS 13, 23, 34: streams that are no FTP, no session of this host's, or no text.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use ftpfw_tests::control::dial;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{LOGIN, PORT, Scene};
use ftpfw_tests::scripted::{Scripted, heard};

#[test]
fn a13_foreign_protocol() -> Result<()> {
    const POST: &str = "POST / HTTP/1.1\r\nHost: server\r\n\r\nPORT {c},{p}\r\nPASV\r\n";
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    // Before the greeting: a browser talks first. 200 for PORT is the worst a server could say.
    for ok in ["S 200 ok", "S 530 log in first"] {
        let mut talk = scene.talk()?;
        let before = scene.firewall.stats()?;
        talk.c(scene.fill(POST).as_bytes())?;
        let replies = ["S 220 ready", "S 500 what", "S 500 what", "S 500 what", ok];
        scene.play(&mut talk, &replies)?;
        scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
        let after = scene.firewall.stats()?;
        ensure!(
            after.negotiations == before.negotiations,
            "armed: {after:?}"
        );
        ensure!(
            scene.firewall.tuples()?.is_empty(),
            "armed, before the login"
        );
        scene.play(&mut talk, &LOGIN[1..])?;
        scene.still_works(&mut talk)?;
    }
    // Behind the greeting.
    let mut talk = scene.talk()?;
    scene.play(&mut talk, &["S 220 ready"])?;
    let post = scene.fill(POST);
    talk.c(post.as_bytes())?;
    let replies = ["S 500 what", "S 500 what", "S 500 what", "S 200 ok"];
    scene.play(&mut talk, &replies)?;
    scene.arms_nothing(&mut talk, &["S 227 Entering ({s},{p})"], &["not-logged-in"])
}

#[test]
fn a23_outgoing_to_an_evil_server() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let evil = Scripted::start(&lab.client, Family::V4)?;
    let mut talk = evil.talk(&lab.server.netns)?;
    // The host is the client here; whatever is said names its own listening ports.
    scene.play(&mut talk, &LOGIN)?;
    let script = [
        "C PASV",
        "S 227 Entering ({s},{p})",
        "C EPSV",
        "S 229 Extended (|||50000|)",
        "C PORT {s},{p}",
        "S 200 ok",
        "S PASV",
        "C 227 Entering ({s},{p})",
    ];
    scene.arms_nothing(&mut talk, &script, &[])?;
    scene.closed(PORT, "not-armed")?;
    let sessions = scene.firewall.sessions()?;
    ensure!(sessions.is_empty(), "followed: {sessions:?}");
    // The same on the control port of its own arms.
    scene.still_works(&mut scene.logged_in()?)
}

/// A connection of the host's own to a control port elsewhere is not cut off.
#[test]
fn a23_the_host_may_dial_control_ports() -> Result<()> {
    let lab = Lab::new()?;
    let _scene = Scene::new(&lab)?;
    let other = Scripted::start(&lab.stranger, Family::V6)?;
    let address = SocketAddr::new(other.address, 21);
    let mut ours = dial(&lab.server.netns, address)?;
    other.accept()?.write_all(b"220 hello\r\n")?;
    heard(&mut ours, b"220 hello\r\n")
}

#[test]
fn a34_ciphertext() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    for pipelined in ["", "PASV\r\n"] {
        let mut talk = scene.talk()?;
        let before = scene.firewall.stats()?;
        talk.s(b"220 ready\r\n")?;
        talk.c(format!("AUTH TLS\r\n{pipelined}").as_bytes())?;
        talk.s(b"234 go\r\n")?;
        let text = scene.fill("\n227 Entering ({s},{p})\r\n");
        let record = [
            b"\x17\x03\x03\0".as_slice(),
            &[u8::try_from(text.len())?],
            text.as_bytes(),
        ]
        .concat();
        for _ in 0..3 {
            talk.c(b"\x17\x03\x03\0\x08\nPASV\r\n\n")?;
            talk.s(&record)?;
        }
        scene.nothing_since(&before, &[])?;
        scene.closed(PORT, "not-armed")?;
    }
    // Another client's session is followed as before.
    scene.still_works(&mut scene.logged_in()?)
}
