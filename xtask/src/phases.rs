//! A run in named phases: each is announced, timed and listed at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What has run so far.
#[derive(Debug, Default)]
pub struct Phases {
    done: Vec<(String, Duration, bool)>,
}

impl Phases {
    /// Does a piece of work whose failure ends the run.
    ///
    /// # Errors
    /// What `work` fails with.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("── {name}");
        let start = Instant::now();
        let result = work();
        self.done
            .push((name.to_owned(), start.elapsed(), result.is_ok()));
        result.with_context(|| name.to_owned())
    }

    /// Runs a command whose failure ends the run.
    ///
    /// # Errors
    /// When it cannot be started or fails; it has said why by itself.
    pub fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        self.step(name, || {
            if succeeds(command)? {
                return Ok(());
            }
            bail!("the command above failed");
        })
    }

    /// Does a piece of work whose failure is said at once and reported by [`Phases::finish`].
    pub fn attempt(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        if let Err(error) = self.step(name, work) {
            eprintln!("{error:#}");
        }
    }

    /// Runs a command whose failure is reported by [`Phases::finish`]: what follows may tell more.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn check(&mut self, name: &str, command: &mut Command) -> Result<()> {
        println!("── {name}");
        let start = Instant::now();
        let success = succeeds(command)?;
        self.done.push((name.to_owned(), start.elapsed(), success));
        Ok(())
    }

    /// Lists the phases.
    ///
    /// # Errors
    /// When one has failed, with the names of those that did.
    pub fn finish(self) -> Result<()> {
        println!("──");
        for (name, time, success) in &self.done {
            let outcome = if *success { "ok" } else { "FAILED" };
            println!("{outcome:>6} {:>7.1} s  {name}", time.as_secs_f64());
        }
        let failed: Vec<_> = self.done.iter().filter(|(.., success)| !success).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = failed.into_iter().map(|(name, ..)| name.as_str()).collect();
        bail!("failed: {}", names.join(", "));
    }
}

fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    Ok(status.success())
}
