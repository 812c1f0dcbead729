//! What ftpfw does with the driver that a NIC has, when it is left to choose (`--mode auto`): XDP in the
//! driver where that works, else in the network stack, and it says so.
//!
//! The NIC is a veth, or what `FTPFW_NICS` and `FTPFW_DRIVER` name (`cargo xtask vm --topology hub`).

use std::env;
use std::fs;

use anyhow::{Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::exchange::{download, upload};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::server::{Daemon, FtpServer, INCOMING, Options};

const CLOSED: u16 = 45_000;
/// Drivers of QEMU's NICs that have no XDP.
const WITHOUT_XDP: [&str; 2] = ["e1000", "e1000e"];
const AUTO: [&str; 2] = ["--mode", "auto"];

#[test]
fn auto_is_native_where_the_driver_has_it() -> Result<()> {
    let driver = env::var("FTPFW_DRIVER").unwrap_or_else(|_| "veth".to_owned());
    let native = !WITHOUT_XDP.contains(&driver.as_str());
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &AUTO)?;
    let log = firewall.log();
    let attached = match native {
        true => "eth0: attached in native mode",
        false => "eth0: attached in generic mode",
    };
    ensure!(log.contains(attached), "with {driver}:\n{log}");
    let fell_back = log.contains("trying generic mode, which is slower");
    ensure!(fell_back != native, "with {driver}:\n{log}");
    Ok(())
}

/// Both ways in, over both families, with more bytes than the queues of a NIC hold.
#[test]
fn transfers_go_through_it_and_a_stranger_does_not() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &AUTO)?;
    let contents: Vec<u8> = (0..300_000_u32).flat_map(u32::to_ne_bytes).collect();
    for family in [Family::V4, Family::V6] {
        let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, family))?;
        fs::write(server.root().join("file"), &contents)?;
        let address = (server.address, server.port);
        let mut control = Control::login(&lab.client.netns, address)?;
        for mode in [Mode::Epsv, Mode::Eprt] {
            let arrived = download(&mut control, mode, false, "file")?;
            ensure!(arrived == contents, "{mode:?}: other bytes arrived");
            let name = format!("{INCOMING}/{mode:?}");
            upload(&mut control, mode, &name, &contents)?;
            let arrived = fs::read(server.root().join(&name))?;
            ensure!(arrived == contents, "{mode:?}: other bytes arrived");
        }
        let armed = control.negotiate(Mode::Epsv)?.port()?;
        expect_dropped(&firewall, &lab.stranger, server.address, armed, "no-tuple")?;
        expect_dropped(&firewall, &lab.client, server.address, CLOSED, "not-armed")?;
        let answer = probe(&lab.client, server.address, armed)?;
        ensure!(answer == Answer::Open, "its client: {answer:?}");
    }
    Ok(())
}
