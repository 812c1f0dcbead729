//! What is asked in the wrong way, or by whom, or of whom: one sentence each.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::nobody::Nobody;
use ftpfw_tests::place::Place;
use ftpfw_tests::refusal::{FAILED, USAGE, check, nothing_left, refused};
use rustix::process::Signal;

use crate::{kill_agent, run, said};

/// Everything that looks at, or changes, a running ftpfw.
const VERBS: [&[&str]; 12] = [
    &["status"],
    &["list", "tuples"],
    &["list", "sessions"],
    &["list", "transfers"],
    &["list", "flows"],
    &["list", "listeners"],
    &["list", "ports"],
    &["stats"],
    &["stats", "--watch", "5"],
    &["explain", "192.0.2.7", "192.0.2.1", "50000"],
    &["allow", "192.0.2.7", "192.0.2.1", "50000"],
    &["revoke", "192.0.2.7", "192.0.2.1", "50000"],
];

#[test]
fn wrong_words() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    for (words, says) in [
        (["lst"].as_slice(), "lst"),
        (&["list"], "WHAT"),
        (&["list", "tuple"], "tuple"),
        (&["list", "tuples", "--client", "10.0.0"], "10.0.0"),
        (&["list", "tuples", "--client", "client"], "client"),
        (&["list", "tuples", "--limit", "-1"], "-1"),
        (&["list", "tuples", "--limit", "ten"], "ten"),
        (&["stats", "--watch", "0"], "0 is not in 1..=86400"),
        (&["stats", "--watch", "1.5"], "1.5"),
        (&["explain", "192.0.2.7"], "SERVER"),
        (
            &[
                "explain",
                "192.0.2.7",
                "192.0.2.1",
                "50000",
                "--client-port",
                "0",
            ],
            "0 is not in 1..=65535",
        ),
    ] {
        refused(&place, words, USAGE, &[says])?;
    }
    nothing_left(&lab.server, &place)
}

#[test]
fn nothing_is_attached() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let says = ["not attached", &place.pins.display().to_string()];
    for words in VERBS {
        refused(&place, words, FAILED, &says)?;
    }
    nothing_left(&lab.server, &place)
}

/// Somebody without capabilities, while ftpfw runs.
#[test]
fn without_privileges() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let nobody = Nobody::new()?;
    let nobody = |words: &[&str]| -> Result<_> {
        let mut command = nobody.command(words);
        command
            .arg("--pin-dir")
            .arg(&firewall.place().pins)
            .arg("--socket")
            .arg(&firewall.place().socket);
        Ok(lab.server.netns.run(|| command.output())??)
    };
    for words in VERBS {
        let output = nobody(words)?;
        check(&output, FAILED, &["not permitted", "root"]).with_context(|| format!("{words:?}"))?;
    }
    let output = nobody(&["events"])?;
    check(
        &output,
        FAILED,
        &["cannot reach the agent", "ermission denied"],
    )
}

/// What needs the agent says so; all else works.
#[test]
fn without_an_agent() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    kill_agent(&mut firewall)?;
    for words in [["events"].as_slice(), &["events", "--follow"]] {
        refused(firewall.place(), words, FAILED, &["running agent"])?;
    }
    for what in ["tuples", "flows", "listeners", "ports"] {
        said(&firewall, &["list", what])?;
    }
    said(&firewall, &["stats"])?;
    let status = said(&firewall, &["status"])?;
    anyhow::ensure!(status.contains("none runs"), "{status}");
    let (client, server) = (IpAddr::V4(lab.client.v4), IpAddr::V4(lab.server.v4));
    for verb in ["allow", "revoke"] {
        let asked = crate::ends(verb, client, server, 50_000);
        said(&firewall, &crate::words(&asked))?;
    }
    Ok(())
}

/// An agent that is stopped never answers: what can do without it does, and nothing waits for ever.
#[test]
fn with_an_agent_that_is_silent() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.signal(Signal::STOP)?;
    let asked = as_without_an_agent(&lab, &firewall);
    firewall.signal(Signal::CONT)?;
    asked?;
    said(&firewall, &["status"])?;
    Ok(())
}

fn as_without_an_agent(lab: &Lab, firewall: &Firewall) -> Result<()> {
    for what in ["sessions", "transfers"] {
        let output = run(firewall, &["list", what])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let fine = output.status.success() && said.contains("no agent answers on");
        anyhow::ensure!(fine, "{what}: {output:?}");
    }
    let (client, server) = (lab.client.v4.into(), lab.server.v4.into());
    let asked = crate::ends("explain", client, server, 50_000);
    let (code, answer) = crate::answer(firewall, &crate::words(&asked))?;
    anyhow::ensure!(code == Some(1) && answer["history"].is_null(), "{answer}");
    for words in [["status"].as_slice(), &["events"]] {
        let says = ["does not answer", "within 5 s"];
        refused(firewall.place(), words, FAILED, &says)?;
    }
    Ok(())
}

#[test]
fn status_is_complete() -> Result<()> {
    let lab = Lab::new()?;
    let options = [
        "--ftps",
        "deny",
        "--opener",
        "agent",
        "--control-port",
        "2121",
    ];
    let firewall = Firewall::start(&lab.server, &options)?;
    let status: serde_json::Value = firewall.query(&["status"])?;
    let policy = &status["policy"];
    anyhow::ensure!(
        policy["ftps"] == "deny" && policy["opener"] == "agent",
        "{status}"
    );
    anyhow::ensure!(policy["dry_run"] == false, "{status}");
    let ports = serde_json::json!([990, 2121]);
    anyhow::ensure!(policy["control_ports"] == ports, "{status}");
    anyhow::ensure!(policy["tuple_lifetime_ms"] == 120_000, "{status}");
    anyhow::ensure!(status["agent"]["pid"] == firewall.pid(), "{status}");
    for name in [
        "sessions",
        "armed",
        "claimed",
        "flows",
        "listeners",
        "events_lost",
    ] {
        anyhow::ensure!(status[name].is_number(), "{name}: {status}");
    }
    let text = said(&firewall, &["status"])?;
    for words in [
        "uptime",
        "eth0 (",
        "990, 2121",
        "deny",
        "0 armed, 0 claimed",
    ] {
        anyhow::ensure!(text.contains(words), "{words:?}: {text}");
    }
    Ok(())
}
