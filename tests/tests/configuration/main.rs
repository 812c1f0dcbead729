//! The configuration file: what it says holds, what is wrong in it is said, and SIGHUP reads it again.
//! And how ftpfw gets on with a service manager.

mod interfaces;
mod precedence;
mod privileges;
mod reload;
mod service;
mod unit;
mod wrong;

use std::ops::Deref;
use std::process::Command;

use anyhow::{Context as _, Result};
use ftpfw_tests::config_file::ConfigFile;
use ftpfw_tests::firewall::{Firewall, mode};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::wait;
use rustix::process::Signal;

/// A configuration file that a test writes again and again.
struct File(ConfigFile);

impl Deref for File {
    type Target = ConfigFile;

    fn deref(&self) -> &ConfigFile {
        &self.0
    }
}

impl File {
    fn new(text: &str) -> Result<Self> {
        Ok(Self(ConfigFile::new(text)?))
    }

    /// `ftpfw run --config FILE WORDS…`.
    fn run(&self, place: &Place, words: &[&str]) -> Command {
        place.command(&[&["run"], self.options().as_slice(), words].concat())
    }

    /// The same, started.
    fn start(&self, lab: &Lab, words: &[&str]) -> Result<Firewall> {
        let place = Place::new(&lab.server)?;
        let mut command = self.run(&place, words);
        Firewall::start_by(place, &mut command)
    }

    /// Writes another text and has it read: what the event says that comes of it.
    fn reload(&self, firewall: &mut Firewall, text: &str) -> Result<(String, String)> {
        self.write(text)?;
        hang_up(firewall)
    }
}

/// Sends SIGHUP and waits for what comes of it: the name of the event, and its text.
fn hang_up(firewall: &mut Firewall) -> Result<(String, String)> {
    let told = |firewall: &Firewall| -> Result<Vec<(String, String)>> {
        let events = firewall.events(&[])?.into_iter();
        Ok(events
            .filter(|event| event.event.starts_with("reload"))
            .map(|event| (event.event, event.text))
            .collect())
    };
    let before = told(firewall)?.len();
    firewall.signal(Signal::HUP)?;
    wait::until("what comes of SIGHUP", || {
        Ok(told(firewall)?.into_iter().nth(before))
    })
    .with_context(|| firewall.log())
}

/// The line of a file that protects the server's NIC, in the mode of this run of the tests.
fn eth0() -> String {
    format!("interfaces = [\"eth0:{}\"]\n", mode())
}
