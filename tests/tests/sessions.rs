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
    Ok(())
}
