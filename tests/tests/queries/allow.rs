//! `ftpfw allow` and `ftpfw revoke`, with an agent and without one.

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::{FAILED, USAGE, refused};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use serde_json::Value;

use crate::{FAMILIES, answer, ends, kill_agent, maps, said, told, words};

/// The count that the filter reads first.
fn count(firewall: &Firewall, port: u16) -> Result<u32> {
    Ok(maps(firewall)?.ports()?.get(port).armed())
}

/// Insists on the state of the client's tuple, as `list tuples` shows it.
fn listed(firewall: &Firewall, state: &str) -> Result<()> {
    firewall.wait_for_tuples(&format!("a manual tuple, {state}"), |tuples| {
        let [tuple] = tuples else { return false };
        (tuple.mode.as_str(), tuple.state.as_str()) == ("manual", state)
    })
}

fn allow(firewall: &Firewall, client: IpAddr, server: IpAddr, port: u16) -> Result<Value> {
    let (code, done) = answer(firewall, &words(&ends("allow", client, server, port)))?;
    ensure!(code == Some(0), "{done}");
    Ok(done)
}

/// One connection of one client, then none; what was revoked before it was used, none at all.
fn admits_once(scene: &Scene<'_>) -> Result<()> {
    let (firewall, lab, server) = (&scene.firewall, scene.lab, scene.address());
    let client = lab.client.address(scene.family);
    scene.closed(PORT, "not-armed")?;
    let done = allow(firewall, client, server, PORT)?;
    ensure!(done["done"] == "armed", "{done}");
    ensure!(done["expires_in_ms"] == 120_000, "{done}");
    listed(firewall, "armed")?;
    ensure!(count(firewall, PORT)? == 1, "not counted once");
    scene.open(PORT)?;
    expect_dropped(firewall, &lab.stranger, server, PORT, "no-tuple")?;
    scene.closed(OTHER, "not-armed")?;

    let address = SocketAddr::new(server, PORT);
    let data = dial(&lab.client.netns, address)?;
    let accepted = accept(&scene.data)?;
    listed(firewall, "claimed")?;
    ensure!(count(firewall, PORT)? == 0, "counted, and claimed");
    scene.closed(PORT, "not-armed")?;
    let words_ = ends("revoke", client, server, PORT);
    refused(firewall.place(), &words(&words_), FAILED, &["is connected"])?;
    drop((data, accepted));
    firewall.wait_for_tuples("no tuple", <[_]>::is_empty)?;

    // Twice is once: the count says so.
    allow(firewall, client, server, PORT)?;
    let done = allow(firewall, client, server, PORT)?;
    ensure!(done["done"] == "renewed", "{done}");
    ensure!(count(firewall, PORT)? == 1, "not counted once");
    scene.open(PORT)?;
    let (code, done) = answer(firewall, &words(&words_))?;
    ensure!(code == Some(0) && done["done"] == "revoked", "{done}");
    ensure!(
        done["mode"] == "manual" && done["session"].is_null(),
        "{done}"
    );
    ensure!(count(firewall, PORT)? == 0, "revoked, and counted");
    scene.closed(PORT, "not-armed")?;
    let says = ["nothing to revoke", "no tuple"];
    refused(firewall.place(), &words(&words_), FAILED, &says)
}

#[test]
fn one_connection_and_the_journal_knows() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        admits_once(&scene)?;
        told(&scene.firewall, "withdrawn", 1)?;
        let events = scene.firewall.events(&[])?;
        let of: Vec<_> = events
            .iter()
            .filter(|it| it.mode.as_deref() == Some("manual"))
            .map(|it| (it.event.as_str(), it.port, it.reason.as_deref()))
            .collect();
        let port = Some(PORT);
        ensure!(
            of == [
                ("armed", port, None),
                ("claimed", port, None),
                ("finished", port, None),
                ("transfer", port, None),
                ("armed", port, None),
                ("armed", port, None),
                ("withdrawn", port, Some("revoked")),
            ],
            "{of:?}"
        );
        let client = Some(lab.client.address(family));
        ensure!(events.iter().all(|it| it.client == client), "{events:?}");
    }
    Ok(())
}

#[test]
fn without_an_agent() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let mut scene = Scene::over(&lab, family)?;
        kill_agent(&mut scene.firewall)?;
        admits_once(&scene)?;
    }
    Ok(())
}

/// Like any tuple it goes with its listener, and at its deadline.
#[test]
fn it_ends_as_any_tuple() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let (client, server) = (lab.client.v4.into(), scene.address());
    let asked = ends("allow", client, server, PORT);
    let mut asked = words(&asked);
    asked.extend(["--for", "1s"]);
    let sentence = said(&scene.firewall, &asked)?;
    ensure!(sentence.contains("once, within 1 s"), "{sentence}");
    told(&scene.firewall, "withdrawn", 1)?;
    scene.closed(PORT, "not-armed")?;

    allow(&scene.firewall, client, server, PORT)?;
    scene.open(PORT)?;
    let data = std::mem::replace(&mut scene.data, scene.server.listen(PORT + 7)?);
    drop(data);
    scene
        .firewall
        .wait_for_tuples("no tuple", <[_]>::is_empty)?;
    ensure!(count(&scene.firewall, PORT)? == 0, "withdrawn, and counted");
    let told: Vec<_> = scene
        .firewall
        .events(&[])?
        .into_iter()
        .filter(|it| it.event == "withdrawn")
        .map(|it| (it.mode, it.reason))
        .collect();
    let reasons = ["expired", "listener-closed"];
    let manual = |reason: &str| (Some("manual".to_owned()), Some(reason.to_owned()));
    ensure!(told == reasons.map(manual), "{told:?}");
    Ok(())
}

/// The operator's word is above the session's.
#[test]
fn what_a_session_negotiated_can_be_revoked() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let (client, server) = (lab.client.v4.into(), scene.address());
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)?;
    let (code, done) = answer(
        &scene.firewall,
        &words(&ends("revoke", client, server, PORT)),
    )?;
    ensure!(code == Some(0) && done["mode"] == "passive", "{done}");
    ensure!(done["session"].is_number(), "{done}");
    scene.closed(PORT, "not-armed")?;
    scene.still_works(&mut talk)?;
    let status: Value = scene.firewall.query(&["status"])?;
    ensure!(status["agent"]["disagreements"] == 0, "{status}");
    Ok(())
}

#[test]
fn what_cannot_be_allowed() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--open-port", "8080/tcp"])?;
    let (client, server) = (lab.client.v4.to_string(), lab.server.v4.to_string());
    let v6 = lab.server.v6.to_string();
    let (c, s) = (client.as_str(), server.as_str());
    let ask = |words: &[&str], code, says: &[&str]| refused(firewall.place(), words, code, says);
    ask(&["allow", c, s, "80"], FAILED, &["80 is not protected"])?;
    ask(&["allow", c, s, "21"], FAILED, &["21 is not protected"])?;
    ask(&["allow", c, s, "8080"], FAILED, &["8080 is open"])?;
    for verb in ["allow", "revoke", "explain"] {
        for (client, server, port, says) in [
            (c, s, "0", "0 is not in 1..=65535"),
            (c, s, "70000", "70000 is not in 1..=65535"),
            (c, s, "ftp", "ftp"),
            ("10.0.0.256", s, "50000", "10.0.0.256"),
            ("example.org", s, "50000", "example.org"),
            (c, &v6, "50000", "two families"),
            (
                "0.0.0.0",
                s,
                "50000",
                "0.0.0.0 is not the address of one host",
            ),
            (c, "224.0.0.1", "50000", "224.0.0.1"),
        ] {
            ask(&[verb, client, server, port], USAGE, &[says])?;
        }
        ask(&[verb, c, s], USAGE, &["PORT"])?;
    }
    for time in ["0s", "25h", "7", "soon"] {
        ask(&["allow", c, s, "50000", "--for", time], USAGE, &["--for"])?;
    }
    ensure!(firewall.tuples()?.is_empty(), "armed all the same");
    let stats = firewall.stats()?;
    let answered = probe(&lab.client, lab.server.v4.into(), 50_000)?;
    ensure!(answered == Answer::Silent, "{answered:?}");
    let drops = firewall.stats()?.dropped("not-armed") - stats.dropped("not-armed");
    ensure!(drops == 1, "dropped {drops} times");
    Ok(())
}

/// The group of the socket may ask; only who may change the maps is believed.
#[test]
fn the_journal_believes_the_owner_of_the_maps_only() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let socket = &firewall.place().socket;
    let directory = socket.parent().context("a directory")?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    // Somebody else of this group, and root.
    for (user, code, events) in [("65534", "403", 0), ("0", "204", 1)] {
        let output = Command::new("setpriv")
            .args([&format!("--reuid={user}"), "--regid=0", "--clear-groups"])
            .args(["curl", "--silent", "--write-out", "%{http_code}"])
            .args(["--request", "POST", "--unix-socket"])
            .arg(socket)
            .arg(
                "http://ftpfw/manual?deed=allowed&client=10.0.0.2&server=10.0.0.1&port=50000\
                 &session=0&mode=4",
            )
            .stdin(Stdio::null())
            .output()?;
        let answered = String::from_utf8(output.stdout)?;
        ensure!(answered == code, "{user}: {answered}");
        let told = firewall.events(&[])?;
        ensure!(told.len() == events, "{user}: {told:?}");
    }
    Ok(())
}
