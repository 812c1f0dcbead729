//! ATTACKS 1-8, 10, 14-16, 35, 42: what a negotiation says, and who says it to whom.
//!
//! The server listens on every port that an attack announces, so that nothing is refused for want of
//! a listener. After each attack an honest negotiation on the same connection lets a transfer through.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{PORT, Scene};

/// A script, and the refusals that it is counted under.
type Row<'a> = (&'a [&'a str], &'a [&'a str]);

/// Plays each row on a logged-in connection of its own.
fn refused(family: Family, rows: &[Row<'_>]) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::over(&lab, family)?;
    for (script, refusals) in rows {
        let mut talk = scene.logged_in()?;
        scene
            .arms_nothing(&mut talk, script, refusals)
            .and_then(|()| scene.still_works(&mut talk))
            .with_context(|| format!("{script:?}"))?;
    }
    Ok(())
}

/// One reply to PASV or EPSV a row, all refused alike.
fn bad_replies(command: &str, replies: &[&str], refusal: &str) -> Result<()> {
    let command = format!("C {command}");
    let scripts: Vec<_> = replies.iter().map(|reply| [&command, *reply]).collect();
    let rows: Vec<Row<'_>> = scripts
        .iter()
        .map(|script| (script.as_slice(), std::slice::from_ref(&refusal)))
        .collect();
    refused(Family::V4, &rows)
}

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
fn a03_privileged_port() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode ({s},0,22)",
            "S 227 Entering Passive Mode ({s},3,255)",
        ],
        "low-port",
    )
}

#[test]
fn a05_octet_overflow() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode (10,0,1,2,256,22)",
            // As a u16 and a u8 that wrap this is port 50000.
            "S 227 Entering Passive Mode ({s},451,80)",
            "S 227 Entering Passive Mode ({s},195,336)",
            "S 227 Entering Passive Mode (266,64,0,1,195,80)",
        ],
        "overflow",
    )
}

#[test]
fn a06_port_overflow() -> Result<()> {
    bad_replies(
        "EPSV",
        &[
            "S 229 Entering Extended Passive Mode (|||65558|)",
            "S 229 Entering Extended Passive Mode (|||1000000|)",
            // 50000 + 2^16, and + 2^32 (more digits than any port).
            "S 229 Entering Extended Passive Mode (|||115536|)",
        ],
        "overflow",
    )?;
    bad_replies(
        "EPSV",
        &["S 229 Entering Extended Passive Mode (|||4295017296|)"],
        "wrong-number",
    )
}

#[test]
fn a07_zero() -> Result<()> {
    bad_replies(
        "PASV",
        &["S 227 Entering Passive Mode ({s},0,0)"],
        "low-port",
    )?;
    bad_replies(
        "EPSV",
        &["S 229 Entering Extended Passive Mode (|||0|)"],
        "low-port",
    )
}

#[test]
fn a07_empty_sign_five_seven() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode ({s},195)",
            "S 227 Entering Passive Mode ({s},{p},1)",
            "S 227 Entering Passive Mode ({s},-195,80)",
            "S 227 Entering Passive Mode ({s},,80)",
            "S 227 Entering Passive Mode ({s},195,)",
            "S 227 Entering Passive Mode (,,,,,)",
            "S 227 Entering Passive Mode",
            // Two that disagree: clients differ on which they take.
            "S 227 Entering Passive Mode ({s},{p}) ({s},{q})",
        ],
        "wrong-number",
    )?;
    bad_replies(
        "EPSV",
        &[
            "S 229 Entering Extended Passive Mode (||||)",
            "S 229 Entering Extended Passive Mode (|||-50000|)",
            "S 229 Entering Extended Passive Mode (||50000|)",
            "S 229 Entering Extended Passive Mode (||!50000|)",
        ],
        "wrong-number",
    )
}

#[test]
fn a08_echo_in_an_error_begins_with_227() -> Result<()> {
    refused(
        Family::V4,
        &[
            (&["C CWD x", "S 227 Entering ({s},{p})"], &["no-command"]),
            (&["C STAT x", "S 229 Extended (|||50000|)"], &["no-command"]),
            // No command at all, and one that was answered already.
            (&["S 227 Entering ({s},{p})"], &["no-command"]),
            (
                &["C PASV", "S 425 no", "S 227 Entering ({s},{p})"],
                &["no-command"],
            ),
        ],
    )
}

#[test]
fn a10_text_in_a_multi_line_reply() -> Result<()> {
    refused(
        Family::V4,
        &[
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
            (
                &[
                    "C HELP",
                    "C PASV",
                    "S 214-help",
                    "S 227 Entering ({s},{p})",
                    "S 214 end",
                    "S 425 no",
                ],
                &[],
            ),
            // Another code, or the same with no space behind it, ends nothing.
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 200 end",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 4250",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
        ],
    )
}

#[test]
fn a14_client_says_227_and_server_says_port() -> Result<()> {
    refused(
        Family::V4,
        &[
            (
                &[
                    "C PASV",
                    "C 227 Entering ({s},{p})",
                    "S 425 no",
                    "S 500 what",
                ],
                &[],
            ),
            (&["C NOOP", "S PORT {c},{p}", "S 200 ok"], &[]),
            (&["C NOOP", "S EPRT |1|{client}|50000|", "S 200 ok"], &[]),
        ],
    )
}

#[test]
fn a15_refused_pasv_announces_nothing() -> Result<()> {
    refused(
        Family::V4,
        &[
            (&["C PASV", "S 425 227 Entering ({s},{p})"], &[]),
            (&["C EPSV", "S 522 (|||50000|)"], &[]),
        ],
    )
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
fn a16_before_login() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let greeted: &[&str] = &["S 220 ready", "C USER someone", "S 331 password"];
    let attacks: [Row<'_>; 3] = [
        (&["C PASV", "S 227 Entering ({s},{p})"], &["not-logged-in"]),
        (
            &["C EPSV", "S 229 Extended (|||50000|)"],
            &["not-logged-in"],
        ),
        (&["C PORT {c},{p}", "S 200 ok"], &["not-logged-in"]),
    ];
    for (script, refusals) in attacks {
        let mut talk = scene.talk()?;
        scene.play(&mut talk, greeted)?;
        scene
            .arms_nothing(&mut talk, script, refusals)
            .with_context(|| format!("{script:?}"))?;
        // A refused login is none.
        let script = ["C PASS wrong", "S 530 no", "C PASV", "S 227 ({s},{p})"];
        scene.arms_nothing(&mut talk, &script, &["not-logged-in"])?;
        scene.play(
            &mut talk,
            &["C USER me", "S 331 password", "C PASS right", "S 230 in"],
        )?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

#[test]
fn a35_fake_auth() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.play(&mut talk, &["C AUTH TLS", "S 500 no TLS here"])?;
    scene
        .still_works(&mut talk)
        .context("after a refused AUTH")?;
    // A 234 that answers another command is no AUTH either.
    scene.play(&mut talk, &["C NOOP", "S 234 go"])?;
    scene
        .still_works(&mut talk)
        .context("after a 234 for nothing")?;
    scene.arms_nothing(&mut talk, &["C CWD x", "S 227 ({s},{p})"], &["no-command"])
}

#[test]
fn a42_bounce_on_the_way_out() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let host = &lab.stranger;
    let address = SocketAddr::new(host.v4.into(), PORT);
    let victim = host.netns.run(|| std::net::TcpListener::bind(address))??;

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
    let named = lab
        .client
        .netns
        .run(|| std::net::TcpListener::bind(address))??;
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
