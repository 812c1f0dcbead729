//! Floods, at whatever rate the generator makes, while files are transferred.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::exchange::download;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::flood::Flood;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::report::Stats;
use ftpfw_tests::server::{Daemon, FtpServer, Options};

const TRANSFERS: usize = 100;
const FILE: &str = "file.bin";
const SIZE: usize = 100_000;

/// Where the kernel counts what a flood is made of.
const fn reason(flood: Flood) -> &'static str {
    match flood {
        Flood::Syn => "not-armed",
        Flood::Ack => "no-connection",
        Flood::Udp => "udp-unsolicited",
    }
}

#[test]
fn all_transfers_finish() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, Family::V4))?;
    std::fs::write(server.root().join(FILE), vec![7; SIZE])?;
    for flood in Flood::ALL {
        let before = firewall.stats()?;
        let begin = Instant::now();
        let sent = while_pouring(&lab, flood, || transfers(&lab, &server));
        let sent = sent.with_context(|| format!("{flood:?}"))?;
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{flood:?}: {TRANSFERS} transfers, {:.0}/s",
            sent as f64 / seconds
        );
        // How many it are is the machine's, which may have other work.
        ensure!(
            sent > 10 * TRANSFERS as u64,
            "{flood:?}: {sent} packets are no flood"
        );
        let after: Stats = firewall.stats()?;
        let dropped = after.drops() - before.drops();
        let named = after.dropped(reason(flood)) - before.dropped(reason(flood));
        // A SYN of the flood may hit a port while it is armed for the client, and a segment that TCP sends
        // twice comes when its connection is over.
        ensure!(
            named <= sent && named * 100 >= dropped * 99,
            "{flood:?}: {sent} sent, {dropped} dropped, {named} as {}",
            reason(flood)
        );
    }
    firewall.wait_for_tuples("all to be gone", <[_]>::is_empty)
}

/// How many packets were sent while `work` was done.
fn while_pouring(lab: &Lab, flood: Flood, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let pouring = scope.spawn(|| flood.pour(lab, &over, &sent));
        let done = work();
        over.store(true, Relaxed);
        pouring.join().expect("no panic")?;
        done
    })?;
    Ok(sent.load(Relaxed))
}

fn transfers(lab: &Lab, server: &FtpServer) -> Result<()> {
    let mut control = Control::login(&lab.client.netns, (server.address, server.port))?;
    for number in 0..TRANSFERS {
        let mode = [Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt][number % 4];
        let bytes = download(&mut control, mode, false, FILE);
        let bytes = bytes.with_context(|| format!("transfer {number}, {mode:?}"))?;
        ensure!(bytes == [7; SIZE], "other bytes arrived");
    }
    Ok(())
}
