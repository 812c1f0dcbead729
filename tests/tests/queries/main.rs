//! The verbs that operators use while ftpfw runs, each where it says yes and where it says no.

mod allow;
mod behind;
mod documents;
mod explain;
mod lists;
mod pipes;
mod top;
mod transfers;
mod usage;
mod watch;

use std::net::IpAddr;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::wait;
use ftpfw_user::kernel::{Maps, PinDir};
use rustix::process::Signal;
use serde_json::Value;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Runs `ftpfw WORDS…`, whatever comes of it.
fn run(firewall: &Firewall, words: &[&str]) -> Result<Output> {
    let mut command = firewall.place().command(words);
    command.output().with_context(|| format!("run {words:?}"))
}

/// What `ftpfw WORDS…` says when it is done and content.
fn said(firewall: &Firewall, words: &[&str]) -> Result<String> {
    let output = run(firewall, words)?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    ensure!(output.stderr.is_empty(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Exit code and JSON of `ftpfw WORDS… --json`.
fn answer(firewall: &Firewall, words: &[&str]) -> Result<(Option<i32>, Value)> {
    let output = run(firewall, &[words, &["--json"]].concat())?;
    let value = serde_json::from_slice(&output.stdout);
    let value = value.with_context(|| format!("{words:?}: {output:?}"))?;
    Ok((output.status.code(), value))
}

/// `VERB CLIENT SERVER PORT`.
fn ends(verb: &str, client: IpAddr, server: IpAddr, port: u16) -> Vec<String> {
    [
        verb,
        &client.to_string(),
        &server.to_string(),
        &port.to_string(),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// As words.
fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// The host's address of the same family as `other`.
fn address_like(host: &Host, other: IpAddr) -> IpAddr {
    match other {
        IpAddr::V4(_) => host.v4.into(),
        IpAddr::V6(_) => host.v6.into(),
    }
}

/// The maps of a running ftpfw.
fn maps(firewall: &Firewall) -> Result<Maps> {
    Maps::open(&PinDir::new(firewall.place().pins.clone()))
}

/// Ends the agent as a crash would: the filter stays.
fn kill_agent(firewall: &mut Firewall) -> Result<()> {
    firewall.signal(Signal::KILL)?;
    firewall.wait()?;
    Ok(())
}

/// Waits until the agent has told an event of that kind so often.
fn told(firewall: &Firewall, event: &str, times: usize) -> Result<()> {
    wait::until(&format!("{times} events `{event}`"), || {
        let events = firewall.events(&[])?;
        let found = events.iter().filter(|it| it.event == event).count();
        Ok((found >= times).then_some(()))
    })
}

/// A session of the client that nobody can read.
fn opaque(lab: &Lab, daemon: &Scripted<'_>) -> Result<ftpfw_tests::scripted::Talk> {
    let mut talk = daemon.talk(&lab.client.netns)?;
    talk.play(&["S 220 ready", "C AUTH TLS", "S 234 go on"])?;
    // The beginnings of a ClientHello and a ServerHello (RFC 8446 §5.1): no more is read.
    talk.c(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")?;
    talk.s(b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00")?;
    Ok(talk)
}
