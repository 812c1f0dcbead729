//! ftpfw itself, running in a server's namespace with pins and a socket of its own.

use std::env;
use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use crate::lab::Host;
use crate::place::Place;
use crate::report::{Event, Session, Stats, Tuple};
use crate::wait;

/// The mode in which this run of the tests attaches the filter.
#[must_use]
pub fn mode() -> String {
    env::var("FTPFW_MODE").unwrap_or_else(|_| "native".to_owned())
}

/// A running `ftpfw run`. On drop it is stopped, checked for what it leaves behind (a panic if there
/// is anything), and its log printed; who wants none of this calls [`Firewall::stop`].
#[derive(Debug)]
pub struct Firewall {
    child: Child,
    place: Place,
    stopped: bool,
}

impl Firewall {
    /// Starts `ftpfw run -i eth0 --mode MODE EXTRA…` in the host's namespace and waits until it is
    /// ready. The mode is that of the variable `FTPFW_MODE`; `native` without it, or what EXTRA says.
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
        let mut firewall = Self {
            child: spawn(&place, extra)?,
            place,
            stopped: false,
        };
        firewall.wait_until_ready()?;
        Ok(firewall)
    }

    /// Starts it at a place by that command, which is one of [`Place::command`]'s.
    ///
    /// # Errors
    /// As [`Firewall::start`].
    pub fn start_by(place: Place, command: &mut Command) -> Result<Self> {
        let log = File::create(place.log_path())?;
        let spawned = command.stdout(log.try_clone()?).stderr(log).spawn();
        let mut firewall = Self {
            child: spawned.context("run ftpfw")?,
            place,
            stopped: false,
        };
        firewall.wait_until_ready()?;
        Ok(firewall)
    }

    /// Ends it by SIGTERM, which must leave everything attached (`--keep-attached`), and starts
    /// another one at its place.
    ///
    /// # Errors
    /// As [`Firewall::start`].
    pub fn take_over(&mut self, extra: &[&str]) -> Result<()> {
        let ended = self.end_by(Signal::TERM)?;
        ensure!(ended.success(), "{}", self.log());
        self.launch(extra)?;
        self.wait_until_ready()
    }

    /// Kills it, as a crash would, and starts another one at its place.
    ///
    /// # Errors
    /// As [`Firewall::start`].
    pub fn crash(&mut self, extra: &[&str]) -> Result<()> {
        self.end_by(Signal::KILL)?;
        self.launch(extra)?;
        self.wait_until_ready()
    }

    /// Ends it by that signal and leaves everything as it is then.
    ///
    /// # Errors
    /// When it goes on.
    pub fn end_by(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        self.wait()
    }

    /// Starts another one in place of one that has ended, with a new log; who needs it ready waits
    /// for that.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(&mut self, extra: &[&str]) -> Result<()> {
        self.child = spawn(&self.place, extra)?;
        Ok(())
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

    /// Waits until it is attached and serves.
    ///
    /// # Errors
    /// When ftpfw ends before.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        // Not "already", which refusals say.
        self.wait_for(" ready")
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

    /// Waits until so many lines of the log contain `word`.
    ///
    /// # Errors
    /// When ftpfw ends before.
    pub fn wait_for_count(&mut self, word: &str, count: usize) -> Result<()> {
        let enough = |log: String| log.lines().filter(|line| line.contains(word)).count() >= count;
        wait::until(
            &format!("{count} times `{word}` in the log of ftpfw"),
            || {
                if enough(self.log()) {
                    return Ok(Some(()));
                }
                match self.child.try_wait()? {
                    Some(status) => bail!("ftpfw ended with {status}:\n{}", self.log()),
                    None => Ok(None),
                }
            },
        )
        .with_context(|| self.log())
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

    /// `ftpfw events WORDS…`.
    ///
    /// # Errors
    /// When the query fails.
    pub fn events(&self, words: &[&str]) -> Result<Vec<Event>> {
        let printed = self.print(&[&["events"], words].concat())?;
        String::from_utf8(printed)?
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// Runs a query with `--json` and reads what it prints.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn query<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let printed = self.print(words)?;
        serde_json::from_slice(&printed).with_context(|| {
            let printed = String::from_utf8_lossy(&printed);
            format!("ftpfw {words:?} --json printed {printed}")
        })
    }

    fn print(&self, words: &[&str]) -> Result<Vec<u8>> {
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
        Ok(output.stdout)
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

    /// Sends it a signal, unless it has ended already: then its number may be another's.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has a number")?, signal).context("signal ftpfw")
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it goes on.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        wait::exit("ftpfw", &mut self.child)
    }

    /// Ends it as an operator would, by SIGTERM.
    ///
    /// # Errors
    /// When it does not end or leaves its pins behind.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.stop_by(Signal::TERM)
    }

    /// Ends it by that signal. After [`Signal::KILL`] it is `ftpfw detach` that cleans up, here too.
    ///
    /// # Errors
    /// As [`Firewall::stop`].
    pub fn stop_by(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.stopped = true;
        self.signal(signal)?;
        let ended = self.wait();
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

fn spawn(place: &Place, extra: &[&str]) -> Result<Child> {
    let log = File::create(place.log_path())?;
    let mode = mode();
    let mut words = vec!["run", "-i", "eth0"];
    if !extra.contains(&"--mode") {
        words.extend(["--mode", &mode]);
    }
    words.extend(extra);
    place
        .command(&words)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("run ftpfw")
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
