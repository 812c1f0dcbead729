//! Sessions are told apart: what one negotiates, another does not withdraw.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::server::{Daemon, FtpServer, Options};

#[test]
fn sessions_of_one_client_have_their_own_numbers_and_tuples() -> Result<()> {
    let lab = Lab::new()?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, Family::V4))?;
    std::fs::write(server.root().join("file"), b"contents")?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let at = (server.address, server.port);
    let mut first = Control::login(&lab.client.netns, at)?;
    let mut second = Control::login(&lab.client.netns, at)?;
    let from_first = first.negotiate(Mode::Pasv)?;
    let from_second = second.negotiate(Mode::Pasv)?;
    firewall.wait_for_tuples("both are armed", |tuples| tuples.len() == 2)?;

    let sessions: Vec<serde_json::Value> = firewall.query(&["list", "sessions"])?;
    let numbers: BTreeSet<u64> = sessions.iter().filter_map(|it| it["id"].as_u64()).collect();
    ensure!(numbers.len() == 2, "not two sessions: {sessions:?}");

    // The end of one session withdraws its own tuple and no other.
    second.expect("QUIT", 221)?;
    firewall.wait_for_tuples("one is left", |tuples| tuples.len() == 1)?;
    let port = from_first.port()?;
    ensure!(
        firewall.tuples()?[0].port == Some(port),
        "the wrong tuple is left"
    );
    ensure!(from_second.port()? != port, "two listeners on one port");
    let mut data = first.data(&from_first)?;
    first.expect("RETR file", 150)?;
    ensure!(
        read_all(&mut data)? == b"contents",
        "the file did not arrive"
    );
    no_disagreement(&firewall)
}

/// Kernel and agent, each with its own copy of the streams, concluded the same.
fn no_disagreement(firewall: &Firewall) -> Result<()> {
    let status: serde_json::Value = firewall.query(&["status"])?;
    let log = firewall.log();
    ensure!(
        status["agent"]["disagreements"].as_u64() == Some(0),
        "{status}\n{log}"
    );
    Ok(())
}

#[test]
fn kernel_and_agent_conclude_the_same() -> Result<()> {
    let lab = Lab::new()?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, Family::V4))?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let mut control = Control::login(&lab.client.netns, (server.address, server.port))?;
    for mode in [Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt, Mode::Pasv] {
        control.negotiate(mode)?;
    }
    control.command("PORT 10,0,0,1,4,1")?;
    control.command("EPRT |1|10.0.0.1|1025|")?;
    control.send_raw(b"\r\nNOOP\r\nPASV\r\n")?;
    while control.reply()?.code != 227 {}
    control.expect("QUIT", 221)?;
    firewall.wait_for_tuples("all are withdrawn", <[_]>::is_empty)?;
    let refused = firewall.stats()?.refused;
    ensure!(
        refused.get("bounce") == Some(&2),
        "two bounces: {refused:?}"
    );
    no_disagreement(&firewall)
}
