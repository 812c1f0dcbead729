//! A daemon that listens on `::` has sockets of family IPv6 for clients of IPv4, with mapped addresses
//! (RFC 4291 §2.5.5.2): their tuples are those of IPv4.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::server::{Daemon, FtpServer, Options};

const PORT: u16 = 45_000;
/// More than the socket buffers of both ends: the transfer cannot finish before it is read.
const SIZE: usize = 16 << 20;

fn download(mode: Mode, family: Family, opener: &str) -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--opener", opener])?;
    let mut options = Options::new(Daemon::Vsftpd, family);
    options.dual_stack = true;
    options.passive_ports = PORT..=PORT;
    let server = FtpServer::start(&lab.server, &options)?;
    std::fs::write(server.root().join("file"), vec![0x5a; SIZE])?;
    let (client, address) = (&lab.client, lab.server.address(family));
    let closed = |reason| {
        expect_dropped(&firewall, &lab.stranger, address, PORT, reason)?;
        expect_dropped(&firewall, client, address, PORT + 1, "not-armed")
    };
    closed("not-armed").context("before")?;

    let mut control = Control::login(&client.netns, (address, 21))?;
    let negotiated = control.negotiate(mode)?;
    let wait_for_one = |state: &str| {
        firewall.wait_for_tuples(&format!("one {state} tuple"), |tuples| {
            matches!(tuples, [tuple] if tuple.state == state
                && (tuple.client, tuple.server) == (client.address(family), address)
                && tuple.port == Some(PORT))
        })
    };
    wait_for_one("armed")?;
    closed("no-tuple").context("while it is armed")?;

    let mut data = control.data(&negotiated)?;
    control.expect("RETR file", 150)?;
    wait_for_one("claimed")?;
    closed("not-armed").context("while it is claimed")?;
    expect_dropped(&firewall, client, address, PORT, "not-armed").context("a second one")?;
    ensure!(read_all(&mut data)?.len() == SIZE, "bytes are missing");
    ensure!(control.reply()?.code == 226, "not completed");
    drop(data);
    firewall.wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    closed("not-armed").context("afterwards")
}

#[test]
fn pasv_of_an_ipv4_client() -> Result<()> {
    download(Mode::Pasv, Family::V4, "inline")
}

#[test]
fn epsv_of_an_ipv4_client() -> Result<()> {
    download(Mode::Epsv, Family::V4, "inline")
}

#[test]
fn epsv_of_an_ipv6_client() -> Result<()> {
    download(Mode::Epsv, Family::V6, "inline")
}

#[test]
fn pasv_of_an_ipv4_client_opened_by_the_agent() -> Result<()> {
    download(Mode::Pasv, Family::V4, "agent")
}
