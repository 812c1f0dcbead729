//! What has happened already: all of it, or what is asked for.

use anyhow::{Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::report::Event;
use ftpfw_tests::scene::{PORT, Scene};

use crate::told;

/// Kind, port, reason and line of an event.
type Negotiated<'a> = (&'a str, Option<u16>, Option<&'a str>, Option<&'a str>);

/// What became of negotiations.
fn negotiated(events: &[Event]) -> Vec<Negotiated<'_>> {
    events
        .iter()
        .filter(|it| ["armed", "withdrawn", "refused"].contains(&it.event.as_str()))
        .map(|it| {
            (
                &*it.event,
                it.port,
                it.reason.as_deref(),
                it.line.as_deref(),
            )
        })
        .collect()
}

/// Plays refusals and one that is none, and insists on what is told of them.
fn tells_refusals_apart(scene: &Scene<'_>) -> Result<()> {
    let mut talk = scene.talk()?;
    scene.play(
        &mut talk,
        &[
            "S 220 ready",
            "C USER so\u{1b}]0;me",
            "S 331 go on",
            "C PASS xyzzy",
            "S 230 welcome",
            "C PORT {x},0,25",
            "S 500 no",
            "C PORT 10,0,\u{1b}[2J,0,25",
            "S 500 no",
            "S 227 \u{1b}[31mEntering ({s},{p})",
            "C PORT {c},{p}",
            "S 200 ok",
        ],
    )?;
    let client = talk.client.local_addr()?;
    drop(talk);
    let events = told(&scene.firewall, "closed", 1)?;

    let bounce = scene.fill("PORT {x},0,25");
    let injected = scene.fill("227 \\u{1b}[31mEntering ({s},{p})");
    let wrong = "PORT 10,0,\\u{1b}[2J,0,25";
    ensure!(
        negotiated(&events)
            == [
                ("refused", None, Some("bounce"), Some(bounce.as_str())),
                ("refused", None, Some("wrong-number"), Some(wrong)),
                ("refused", None, Some("no-command"), Some(&injected)),
                ("armed", Some(PORT), None, None),
                ("withdrawn", Some(PORT), Some("control-closed"), None),
            ],
        "{events:#?}"
    );
    for event in &events {
        ensure!(event.session == events[0].session, "whose? {event:?}");
        ensure!(event.client == Some(client.ip()), "whose? {event:?}");
        ensure!(event.client_port == Some(client.port()), "{event:?}");
    }
    let users: Vec<_> = events.iter().filter_map(|it| it.user.as_deref()).collect();
    ensure!(users == ["so\\u{1b}]0;me"], "{users:?}");
    shows_nothing_raw(&scene.firewall, &format!("refused (bounce): \"{bounce}\""))
}

/// Neither a password nor a control character gets to the terminal; `says`: what does.
fn shows_nothing_raw(firewall: &Firewall, says: &str) -> Result<()> {
    for words in [["events"].as_slice(), &["events", "--json"]] {
        let output = firewall.place().command(words).output()?;
        ensure!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout)?;
        let raw = text.chars().any(|it| it != '\n' && it.is_control());
        ensure!(!raw && !text.contains("xyzzy"), "{text:?}");
        let says = match words {
            ["events"] => says.to_owned(),
            _ => says.replace('"', "\\\""),
        };
        ensure!(text.contains(&says), "{says:?} is missing: {text}");
    }
    Ok(())
}

#[test]
fn refusals_are_told_with_their_line() -> Result<()> {
    let lab = Lab::new()?;
    tells_refusals_apart(&Scene::new(&lab)?)
}

#[test]
fn the_agent_as_opener_tells_the_same() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    scene.firewall.stop()?;
    scene.firewall = Firewall::start(&lab.server, &["--opener", "agent"])?;
    tells_refusals_apart(&scene)
}

#[test]
fn only_what_is_asked_for() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.still_works(&mut talk)?;
    drop(talk);
    let all = told(&scene.firewall, "closed", 1)?;
    let kinds: Vec<_> = all.iter().map(|it| it.event.as_str()).collect();
    ensure!(
        kinds
            == [
                "opened",
                "logged-in",
                "armed",
                "claimed",
                "finished",
                "transfer",
                "closed"
            ],
        "{kinds:?}"
    );
    ensure!(all.iter().map(|it| it.number).eq(1..=7), "{all:?}");
    let of = |port: Option<u16>| all.iter().filter(|it| it.port == port).count();
    ensure!((of(Some(PORT)), of(None)) == (4, 3), "{all:?}");

    let (client, stranger) = (lab.client.v4.to_string(), lab.stranger.v4.to_string());
    for (words, expected) in [
        (["--since", "1d"].as_slice(), all.as_slice()),
        (&["--since", "0s"], &[]),
        (&["--client", &client], &all),
        (&["--client", &stranger], &[]),
        (&["--limit", "2"], &all[5..]),
        (&["--limit", "0"], &[]),
        (&["--limit", "99"], &all),
    ] {
        let events = scene.firewall.events(words)?;
        ensure!(events == expected, "{words:?}: {events:?}");
    }
    Ok(())
}
