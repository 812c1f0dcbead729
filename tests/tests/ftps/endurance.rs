//! Transfer after transfer while both cores are busy: no data SYN comes before its listener is known.

use std::env;
use std::io::Read as _;
use std::net::TcpStream;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::{Control, Negotiated};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::load::with_busy_cores;
use ftpfw_tests::secret::Wire;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;
use ftpfw_tests::wait::patience;

const FILE: &str = "small.bin";
const SESSIONS: u32 = 4;
/// By default.
const TRANSFERS: u32 = 60;

#[test]
fn no_data_syn_is_dropped() -> Result<()> {
    let transfers = match env::var("FTPFW_TRANSFERS") {
        Ok(number) => number.parse().context("FTPFW_TRANSFERS")?,
        Err(_) => TRANSFERS,
    };
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    let options = Options::new(Daemon::Vsftpd, Family::V4).with_tls(Security::EXPLICIT.tls);
    let server = FtpServer::start(&lab.server, &options)?;
    std::fs::write(server.root().join(FILE), [7; 1000])?;
    let each = transfers.div_ceil(SESSIONS);
    with_busy_cores(|| {
        thread::scope(|scope| {
            let sessions: Vec<_> = (0..SESSIONS)
                .map(|_| scope.spawn(|| session(&lab, &server, each)))
                .collect();
            sessions
                .into_iter()
                .try_for_each(|session| match session.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })
    })?;
    let stats = firewall.stats()?;
    ensure!(stats.drops() == 0, "something was dropped: {stats:?}");
    Ok(())
}

/// Transfers a file over and over. All in one thread that is in the client's namespace: nothing
/// delays the SYN.
fn session(lab: &Lab, server: &FtpServer, transfers: u32) -> Result<()> {
    lab.client.netns.run(|| {
        let at = (server.address, server.port);
        let mut control = Control::login_over(&lab.client.netns, at, Security::EXPLICIT)?;
        for _ in 0..transfers {
            let Negotiated::Dial(address) = control.negotiate(Mode::Epsv)? else {
                bail!("EPSV gave no port to dial");
            };
            let data = TcpStream::connect_timeout(&address, patience())
                .with_context(|| format!("dial {address}"))?;
            data.set_read_timeout(Some(patience()))?;
            control.expect(&format!("RETR {FILE}"), 150)?;
            let mut bytes = Vec::new();
            Wire::secret(data)?.read_to_end(&mut bytes)?;
            ensure!(bytes == [7; 1000], "{} bytes came", bytes.len());
            let reply = control.reply()?;
            ensure!(reply.code == 226, "instead of 226: {reply:?}");
        }
        Ok(())
    })?
}
