//! `ftpfw explain` says what the filter does with a real SYN, in each state that a port can be in.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::{keys::TupleKey, policy::Settings, values::Mode};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::with_checksum;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Host, Lab};
use ftpfw_tests::packets;
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::Scripted;
use ftpfw_user::kernel::{Wire, tuples::Owner};
use serde_json::Value;

use crate::{FAMILIES, address_like, answer, ends, kill_agent, maps, opaque, run, told, words};

/// How often a verdict was counted.
fn counted(firewall: &Firewall, reason: &str) -> Result<u64> {
    let stats = firewall.stats()?;
    let number = stats.pass.get(reason).or_else(|| stats.drop.get(reason));
    number
        .copied()
        .with_context(|| format!("no reason {reason}"))
}

/// Insists that `explain` says `reason`, and that a real SYN then gets that verdict; what it said.
fn agrees(
    firewall: &Firewall,
    from: &Host,
    server: IpAddr,
    port: u16,
    reason: &str,
) -> Result<Value> {
    let asked = ends("explain", address_like(from, server), server, port);
    let (code, said) = answer(firewall, &words(&asked))?;
    ensure!(said["reason"] == reason, "not `{reason}`: {said}");
    let passes = said["passes"].as_bool().context("a bool")?;
    ensure!(code == Some(i32::from(!passes)), "{code:?}: {said}");
    let text = said["text"].as_str().context("a text")?;
    let begins = if passes {
        "would pass: "
    } else {
        "would drop: "
    };
    ensure!(text.starts_with(begins), "{text}");

    let before = counted(firewall, reason)?;
    let came = probe(from, server, port)?;
    ensure!((came != Answer::Silent) == passes, "{came:?}: {said}");
    let times = counted(firewall, reason)? - before;
    // The sentinel of a probe, sent twice, is of an unprotected port.
    let expected = if reason == "unprotected" { 3 } else { 1 };
    ensure!(
        times == expected,
        "`{reason}` counted {times} times: {said}"
    );
    Ok(said)
}

#[test]
fn a_tuple_from_its_arming_to_its_end() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let scene = Scene::over(&lab, family)?;
        let (firewall, server) = (&scene.firewall, scene.address());
        let (client, stranger) = (&lab.client, &lab.stranger);
        let said = agrees(firewall, client, server, PORT, "not-armed")?;
        ensure!(said["tuple"].is_null() && said["armed"] == 0, "{said}");
        let text = said["text"].as_str().context("a text")?;
        ensure!(text.contains("knows of no such tuple"), "{text}");

        let mut talk = scene.logged_in()?;
        scene.negotiate(&mut talk)?;
        told(firewall, "armed", 1)?;
        let said = agrees(firewall, client, server, PORT, "tuple")?;
        ensure!(said["tuple"]["mode"] == "passive", "{said}");
        let said = agrees(firewall, stranger, server, PORT, "no-tuple")?;
        ensure!(said["tuple"].is_null() && said["armed"] == 1, "{said}");
        agrees(firewall, client, server, OTHER, "not-armed")?;

        let data = dial(&client.netns, SocketAddr::new(server, PORT))?;
        let accepted = accept(&scene.data)?;
        told(firewall, "claimed", 1)?;
        agrees(firewall, client, server, PORT, "not-armed")?;
        drop((data, accepted));
        told(firewall, "finished", 1)?;
        let said = agrees(firewall, client, server, PORT, "not-armed")?;
        ends_well(said["text"].as_str().context("a text")?)?;
    }
    Ok(())
}

/// The whole sentence, but for the times.
fn ends_well(text: &str) -> Result<()> {
    let without_times: String = text
        .split(' ')
        .map(|word| match word.split(':').count() {
            3 => word.trim_start_matches(|it: char| it.is_ascii_digit() || it == ':'),
            _ => word,
        })
        .collect::<Vec<_>>()
        .join(" ");
    ensure!(
        without_times
            == format!(
                "would drop: port {PORT} has no armed tuple. \
                 Last: armed  by 229 in session 1 (someone), claimed , closed ."
            ),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_refusal_is_told_with_its_line() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
    told(&scene.firewall, "refused", 1)?;
    let server = scene.address();
    let said = agrees(&scene.firewall, &lab.client, server, PORT, "not-armed")?;
    let text = said["text"].as_str().context("a text")?;
    ensure!(text.contains("(no-command): \"227 Entering ("), "{text}");
    // It is no concern of anybody else's.
    let said = agrees(&scene.firewall, &lab.stranger, server, PORT, "not-armed")?;
    ensure!(said["history"]["refused"].is_null(), "{said}");
    Ok(())
}

/// Without an agent nobody collects what expired, and nobody knows what was.
#[test]
fn an_expired_tuple_and_no_agent() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let mut scene = Scene::over(&lab, family)?;
        kill_agent(&mut scene.firewall)?;
        let (client, server) = (lab.client.address(family), scene.address());
        let key = TupleKey::passive(client.into(), server.into(), PORT);
        let owner = Owner::new(7, Mode::Passive);
        maps(&scene.firewall)?.tuples()?.arm(key, owner, 1)?;
        let said = agrees(&scene.firewall, &lab.client, server, PORT, "expired")?;
        ensure!(said["history"].is_null(), "{said}");
        let text = said["text"].as_str().context("a text")?;
        ensure!(
            text.contains(" expired ") && text.contains("agent"),
            "{text}"
        );
        agrees(&scene.firewall, &lab.stranger, server, PORT, "no-tuple")?;

        let owner = Owner::new(7, Mode::Passive);
        let hour = 3_600_000_000_000;
        maps(&scene.firewall)?.tuples()?.arm(key, owner, hour)?;
        agrees(&scene.firewall, &lab.client, server, PORT, "tuple")?;
    }
    Ok(())
}

#[test]
fn ports_that_are_not_closed() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--open-port", "8080/tcp,8081/udp"])?;
        let (client, server) = (&lab.client, lab.server.address(family));
        for (port, reason) in [
            (80, "unprotected"),
            (21, "unprotected"),
            (8080, "open-port"),
            (8081, "not-armed"),
        ] {
            agrees(&firewall, client, server, port, reason)?;
        }
    }
    Ok(())
}

#[test]
fn a_listener_for_an_encrypted_session() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &[])?;
        let daemon = Scripted::start(&lab.server, family)?;
        let (client, server) = (&lab.client, daemon.address);
        let _talk = opaque(&lab, &daemon)?;
        agrees(&firewall, client, server, PORT, "not-armed")?;
        let listener = daemon.listen(PORT)?;
        let said = agrees(&firewall, client, server, PORT, "listener")?;
        ensure!(said["tuple"].is_null(), "{said}");
        let said = agrees(&firewall, &lab.stranger, server, PORT, "not-armed")?;
        let text = said["text"].as_str().context("a text")?;
        ensure!(text.contains("is not for"), "{text}");

        // One connection, and no second one.
        let _data = dial(&client.netns, SocketAddr::new(server, PORT))?;
        accept(&listener)?;
        agrees(&firewall, client, server, PORT, "not-armed")?;
    }
    Ok(())
}

#[test]
fn the_passive_range() -> Result<()> {
    let lab = Lab::new()?;
    let options = ["--ftps", "range", "--passive-ports", "50000-50000"];
    let firewall = Firewall::start(&lab.server, &options)?;
    let daemon = Scripted::start(&lab.server, FAMILIES[0])?;
    let server = daemon.address;
    let said = agrees(&firewall, &lab.client, server, PORT, "not-armed")?;
    let text = said["text"].as_str().context("a text")?;
    ensure!(text.contains("no encrypted session"), "{text}");
    let _talk = opaque(&lab, &daemon)?;
    agrees(&firewall, &lab.client, server, PORT, "passive-range")?;
    agrees(&firewall, &lab.client, server, OTHER, "not-armed")?;
    agrees(&firewall, &lab.stranger, server, PORT, "not-armed")?;
    Ok(())
}

/// Where the first SYN claims, for want of a tracepoint, it alone may be repeated.
#[test]
fn a_repeated_syn() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    kill_agent(&mut scene.firewall)?;
    let maps = maps(&scene.firewall)?;
    let mut settings = maps.settings()?;
    let Wire(before) = settings.get(&0, 0)?;
    let claims = Settings {
        claim_on_syn: 1,
        ..before
    };
    settings.set(0, Wire(claims), 0)?;
    let haunt = Haunt::new(&lab, scene.family)?;
    let key = TupleKey::passive(haunt.address.into(), scene.address().into(), PORT);
    let owner = Owner::new(7, Mode::Passive);
    maps.tuples()?.arm(key, owner, 3_600_000_000_000)?;

    let (first, other) = (haunt.socket(), haunt.socket());
    let syn = |from: SocketAddr| {
        let frame = packets::tcp(from, haunt.server(PORT), "S", b"");
        haunt.send(with_checksum(frame))
    };
    let says = |from: SocketAddr| -> Result<Value> {
        let asked = ends("explain", haunt.address, scene.address(), PORT);
        let port = from.port().to_string();
        let asked = [&words(&asked)[..], &["--client-port", &port]].concat();
        Ok(answer(&scene.firewall, &asked)?.1["reason"].take())
    };
    ensure!(says(first)? == "tuple" && says(other)? == "tuple");
    syn(first)?;
    haunt.receive(first, haunt.server(PORT))?;
    ensure!(says(first)? == "tuple" && says(other)? == "not-armed");
    let (passed, dropped) = (
        counted(&scene.firewall, "tuple")?,
        counted(&scene.firewall, "not-armed")?,
    );
    syn(first)?;
    syn(other)?;
    haunt.answers()?;
    ensure!(counted(&scene.firewall, "tuple")? == passed + 1);
    ensure!(counted(&scene.firewall, "not-armed")? == dropped + 1);
    Ok(())
}

/// The verdict is the filter's; that it is not carried out is said.
#[test]
fn a_dry_run() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--dry-run"])?;
    let (client, server) = (lab.client.v4.into(), lab.server.v4.into());
    let output = run(&firewall, &words(&ends("explain", client, server, PORT)))?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{text}");
    ensure!(
        text.contains("would drop") && text.contains("dry run"),
        "{text}"
    );
    ensure!(probe(&lab.client, server, PORT)? == Answer::Refused);
    Ok(())
}
