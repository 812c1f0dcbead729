//! The load: whole transfers, plain and encrypted, aborted ones, floods.

use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::exchange::{begin, download, upload};
use ftpfw_tests::flood::Flood;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::random::Random;
use ftpfw_tests::server::{Daemon, FtpServer, INCOMING, Options};
use ftpfw_tests::tls::Security;

const MODES: [Mode; 4] = [Mode::Pasv, Mode::Epsv, Mode::Port, Mode::Eprt];
const FILE: &str = "soak.bin";
/// More than the socket buffers hold: a transfer can be aborted in the middle.
const SIZE: usize = 8 << 20;
const SMALL: &str = "small.bin";
const SMALL_SIZE: usize = 50_000;
/// Clients of each kind at the same time.
const CLIENTS: u64 = 2;
/// A flood lasts so long, and the next one comes so much later.
const FLOOD: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(9);
/// Between two sessions of a client: the load shall not be the speed of the machine.
const PAUSE: Duration = Duration::from_millis(50);

/// Who loads, and what it came to.
pub struct Load<'a> {
    lab: &'a Lab,
    server: FtpServer,
    seed: u64,
    plain: AtomicU64,
    secret: AtomicU64,
    aborted: AtomicU64,
    packets: AtomicU64,
}

/// One session of a client.
type Session<'a> = fn(&Load<'a>, &mut Random) -> Result<()>;

impl<'a> Load<'a> {
    /// Starts the server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn new(lab: &'a Lab, seed: u64) -> Result<Self> {
        let security = Security::EXPLICIT;
        let options = Options::new(Daemon::Vsftpd, Family::V4).with_tls(security.tls);
        let server = FtpServer::start(&lab.server, &options)?;
        fs::write(server.root().join(FILE), vec![7; SIZE])?;
        fs::write(server.root().join(SMALL), vec![7; SMALL_SIZE])?;
        let zero = || AtomicU64::new(0);
        Ok(Self {
            lab,
            server,
            seed,
            plain: zero(),
            secret: zero(),
            aborted: zero(),
            packets: zero(),
        })
    }

    /// Transfers that were completed so far.
    pub fn transfers(&self) -> u64 {
        self.plain.load(Relaxed) + self.secret.load(Relaxed)
    }

    /// What was done.
    pub fn done(&self) -> String {
        format!(
            "{} transfers in plain text, {} over TLS, {} aborted, {} packets of floods",
            self.plain.load(Relaxed),
            self.secret.load(Relaxed),
            self.aborted.load(Relaxed),
            self.packets.load(Relaxed),
        )
    }

    /// Loads until it is over; a failure ends it for all.
    ///
    /// # Errors
    /// The first failure.
    pub fn pour(&self, over: &AtomicBool) -> Result<()> {
        let kinds: [(&str, Session<'a>); 3] = [
            ("plain", Self::plain),
            ("encrypted", Self::secret),
            ("aborted", Self::aborted),
        ];
        let failed = |result: Result<()>| {
            if result.is_err() {
                over.store(true, Relaxed);
            }
            result
        };
        thread::scope(|scope| {
            let mut threads = vec![scope.spawn(move || failed(self.floods(over)))];
            for (name, session) in kinds {
                for client in 0..CLIENTS {
                    threads.push(scope.spawn(move || {
                        let mut random = Random::new(self.seed + client);
                        while !over.load(Relaxed) {
                            failed(session(self, &mut random).context(name))?;
                            thread::sleep(PAUSE);
                        }
                        Ok(())
                    }));
                }
            }
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            ended.collect()
        })
    }

    fn server(&self) -> (std::net::IpAddr, u16) {
        (self.server.address, self.server.port)
    }

    fn plain(&self, random: &mut Random) -> Result<()> {
        let mut control = Control::login(&self.lab.client.netns, self.server())?;
        for _ in 0..10 {
            let mode = MODES[random.below(MODES.len())];
            if random.chance(50) {
                let bytes = download(&mut control, mode, false, SMALL)?;
                ensure!(bytes == [7; SMALL_SIZE], "other bytes arrived");
            } else {
                let name = format!("{INCOMING}/{}", random.number());
                let bytes = vec![random.byte(); SMALL_SIZE];
                upload(&mut control, mode, &name, &bytes)?;
                let path = self.server.root().join(name);
                ensure!(fs::read(&path)? == bytes, "other bytes arrived");
                fs::remove_file(path)?;
            }
            self.plain.fetch_add(1, Relaxed);
        }
        control.expect("QUIT", 221)?;
        Ok(())
    }

    fn secret(&self, random: &mut Random) -> Result<()> {
        let netns = &self.lab.client.netns;
        let mut control = Control::login_over(netns, self.server(), Security::EXPLICIT)?;
        for _ in 0..3 {
            let mode = MODES[random.below(MODES.len())];
            let bytes = download(&mut control, mode, true, SMALL)?;
            ensure!(bytes == [7; SMALL_SIZE], "other bytes arrived");
            self.secret.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Gives up after a login, a negotiation, or in the middle of a transfer.
    fn aborted(&self, random: &mut Random) -> Result<()> {
        let mut control = Control::login(&self.lab.client.netns, self.server())?;
        let mode = MODES[random.below(MODES.len())];
        if random.chance(30) {
            control.negotiate(mode)?;
        } else if random.chance(90) {
            let mut data = begin(&mut control, mode, &format!("RETR {FILE}"))?;
            data.read_exact(&mut [0; 1000])?;
        }
        self.aborted.fetch_add(1, Relaxed);
        Ok(())
    }

    fn floods(&self, over: &AtomicBool) -> Result<()> {
        for flood in Flood::ALL.into_iter().cycle() {
            let calm = Instant::now() + CALM;
            while Instant::now() < calm && !over.load(Relaxed) {
                thread::sleep(PAUSE);
            }
            if over.load(Relaxed) {
                break;
            }
            let ebb = AtomicBool::new(false);
            thread::scope(|scope| {
                let pouring = scope.spawn(|| flood.pour(self.lab, &ebb, &self.packets));
                thread::sleep(FLOOD);
                ebb.store(true, Relaxed);
                pouring.join().expect("no panic")
            })?;
        }
        Ok(())
    }
}
