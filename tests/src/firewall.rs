//! ftpfw itself, running in a server's namespace with pins and a socket of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::lab::Host;
use crate::{mounts, programs, wait};

/// A line of `ftpfw list tuples --json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Tuple {
    /// Address of the client.
    pub client: std::net::IpAddr,
    /// Port of the client, of an active tuple.
    pub client_port: Option<u16>,
    /// Address of the server.
    pub server: std::net::IpAddr,
    /// Port of the server, of a passive tuple.
    pub port: Option<u16>,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: String,
    /// `armed` or `claimed`.
    pub state: String,
}

/// A line of `ftpfw list sessions --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    /// Address of the client.
    pub client: std::net::IpAddr,
    /// Port of the client's end of the control connection.
    pub client_port: u16,
    /// Who logged in.
    pub user: Option<String>,
    /// What the session waits for.
    pub state: String,
}

/// `ftpfw stats --json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Stats {
    /// Packets passed, by reason.
    pub pass: BTreeMap<String, u64>,
    /// Packets dropped, by reason.
    pub drop: BTreeMap<String, u64>,
    /// Tuples armed, by kind of negotiation.
    pub negotiations: BTreeMap<String, u64>,
    /// Negotiations that armed nothing, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Records lost by a full ring buffer.
    pub events_lost: u64,
}

impl Stats {
    /// Packets dropped for that reason.
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        self.drop.get(reason).copied().unwrap_or(0)
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.drop.values().sum()
    }
}

/// A running `ftpfw run`. On drop it is stopped, checked for what it leaves behind (a panic if there
/// is anything), and its log printed; who wants none of this calls [`Firewall::stop`].
#[derive(Debug)]
pub struct Firewall {
    child: Child,
    place: Place,
    stopped: bool,
}

/// Where one ftpfw lives: a pin directory, a socket and a log that no other one has.
#[derive(Debug)]
pub struct Place {
    program: PathBuf,
    /// Its pins.
    pub pins: PathBuf,
    /// Its socket.
    pub socket: PathBuf,
    directory: TempDir,
    netns: PathBuf,
}

impl Place {
    /// A place for an ftpfw in the namespace of `host`; nothing is started.
    ///
    /// # Errors
    /// When the program has not been built or the kernel's file systems cannot be mounted.
    pub fn new(host: &Host) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        mounts::ensure()?;
        let directory = TempDir::with_prefix("ftpfw-agent-").context("make a directory")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pins = format!("{}/ftpfw-test-{}-{number}", mounts::BPF, std::process::id());
        Ok(Self {
            program: program()?,
            pins: pins.into(),
            socket: directory.path().join("agent.sock"),
            netns: host.netns.path(),
            directory,
        })
    }

    /// `ftpfw WORDS… --pin-dir … --socket …`, to be run inside the namespace.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.netns.display()))
            .arg("--")
            .arg(&self.program);
        command
            .args(words)
            .arg("--pin-dir")
            .arg(&self.pins)
            .arg("--socket")
            .arg(&self.socket);
        command.stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    /// Where `ftpfw run` writes its standard error.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Firewall {
    /// Starts `ftpfw run -i eth0 EXTRA…` in the host's namespace and waits until it is ready.
    ///
    /// # Errors
    /// When it is not built or ends before it is ready; the error has its log.
    pub fn start(host: &Host, extra: &[&str]) -> Result<Self> {
        Self::start_at(Place::new(host)?, extra)
    }

    /// Starts it at a place that is already there.
    ///
    /// # Errors
    /// As [`Firewall::start`].
    pub fn start_at(place: Place, extra: &[&str]) -> Result<Self> {
        let log = File::create(place.log_path())?;
        let words = [["run", "-i", "eth0"].as_slice(), extra].concat();
        let child = place
            .command(&words)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("run ftpfw")?;
        let mut firewall = Self {
            child,
            place,
            stopped: false,
        };
        firewall.wait_for("ready")?;
        Ok(firewall)
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.log_path()).unwrap_or_default()
    }

    /// Its pins and its socket.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log that contains `word`.
    ///
    /// # Errors
    /// When ftpfw ends before.
    pub fn wait_for(&mut self, word: &str) -> Result<()> {
        wait::until(&format!("`{word}` in the log of ftpfw"), || {
            let ended = self.child.try_wait()?;
            if self.log().lines().any(|line| line.contains(word)) {
                return Ok(Some(()));
            }
            match ended {
                Some(status) => bail!("ftpfw ended with {status}:\n{}", self.log()),
                None => Ok(None),
            }
        })
    }

    /// `ftpfw list tuples`.
    ///
    /// # Errors
    /// When the query fails.
    pub fn tuples(&self) -> Result<Vec<Tuple>> {
        self.query(&["list", "tuples"])
    }

    /// `ftpfw list sessions`.
    ///
    /// # Errors
    /// When the query fails.
    pub fn sessions(&self) -> Result<Vec<Session>> {
        self.query(&["list", "sessions"])
    }

    /// `ftpfw stats`.
    ///
    /// # Errors
    /// When the query fails.
    pub fn stats(&self) -> Result<Stats> {
        self.query(&["stats"])
    }

    /// Runs a query with `--json` and reads what it prints.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn query<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let output = self
            .place
            .command(words)
            .arg("--json")
            .output()
            .context("run ftpfw")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "ftpfw {words:?}: {}: {}",
            output.status,
            said.trim()
        );
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "ftpfw {words:?} --json printed {}",
                String::from_utf8_lossy(&output.stdout)
            )
        })
    }

    /// Waits until the tuples are as `right` wants them.
    ///
    /// # Errors
    /// When that does not come about, with the tuples that are there.
    pub fn wait_for_tuples(&self, what: &str, right: impl Fn(&[Tuple]) -> bool) -> Result<()> {
        let mut seen = Vec::new();
        let done = wait::until(what, || {
            seen = self.tuples()?;
            Ok(right(&seen).then_some(()))
        });
        done.with_context(|| format!("tuples: {seen:?}\nlog of ftpfw:\n{}", self.log()))
    }

    /// Ends it as an operator would, by SIGTERM.
    ///
    /// # Errors
    /// When it does not end or leaves its pins behind.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.stopped = true;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _already_gone = pid.map(|pid| kill_process(pid, Signal::TERM));
        let ended = wait::exit("ftpfw", &mut self.child);
        if ended.is_err() {
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
        // What a clean end has removed, `detach` finds removed; after a crash it does the work.
        let detached = self
            .place
            .command(&["detach"])
            .output()
            .context("run ftpfw detach")?;
        let status = ended?;
        let said = String::from_utf8_lossy(&detached.stderr);
        ensure!(
            detached.status.success(),
            "ftpfw detach: {}: {said}",
            detached.status
        );
        let pins = &self.place.pins;
        ensure!(
            !pins.exists(),
            "{} is left behind:\n{}",
            pins.display(),
            self.log()
        );
        Ok(status)
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        let stopped = self.stop();
        // The test harness shows this only if the test fails.
        eprintln!("log of ftpfw:\n{}", self.log());
        match stopped {
            Err(error) if !thread::panicking() => {
                panic!("ftpfw did not go as it should: {error:#}")
            }
            Err(error) => eprintln!("ftpfw did not go as it should: {error:#}"),
            Ok(_) => {}
        }
    }
}

/// The binary: `FTPFW_BIN`, or the build beside the tests.
///
/// # Errors
/// When there is none.
pub fn program() -> Result<PathBuf> {
    programs::find_built("ftpfw", "FTPFW_BIN", "cargo build --release")
}
