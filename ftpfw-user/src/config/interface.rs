//! Network interfaces by name, and where the filter of each may run.

use std::{fmt, str::FromStr};

use clap::ValueEnum as _;
use nix::net::if_::if_nametoindex;

use super::{FilterChoice, UsageError};
use crate::cli::ModeArg;

/// An interface as it is asked for: `eth0`, or `eth0:tc` for another mode than that of the others. No
/// interface has a colon in its name (`dev_valid_name` in `net/core/dev.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceArg {
    name: String,
    mode: Option<ModeArg>,
}

impl InterfaceArg {
    /// Its name, without the mode.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for InterfaceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, mode) = match text.split_once(':') {
            Some((name, mode)) => (name, Some(ModeArg::from_str(mode, false)?)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("an interface has a name".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            mode,
        })
    }
}

/// An interface that is to be protected, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedInterface {
    /// Its name.
    pub name: String,
    /// Where its filter may run.
    pub mode: FilterChoice,
}

/// An interface that existed when it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name then; an administrator may rename it later.
    pub name: String,
    /// Its index, which stays the same until it is deleted.
    pub index: u32,
    /// Where its filter may run.
    pub mode: FilterChoice,
}

/// There is no interface of this name in this network namespace.
#[derive(Debug)]
pub struct InterfaceError {
    /// The name asked for.
    pub name: String,
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {} does not exist", self.name)
    }
}

impl std::error::Error for InterfaceError {}

impl Interface {
    /// Looks `name` up in this network namespace.
    ///
    /// # Errors
    ///
    /// [`InterfaceError`] when there is none.
    pub fn find(name: &str, mode: FilterChoice) -> Result<Self, InterfaceError> {
        if_nametoindex(name)
            .map(|index| Self {
                name: name.to_owned(),
                index,
                mode,
            })
            .map_err(|_| InterfaceError {
                name: name.to_owned(),
            })
    }
}

impl WantedInterface {
    /// Looks it up in this network namespace.
    ///
    /// # Errors
    ///
    /// [`InterfaceError`] when there is none of that name.
    pub fn find(&self) -> Result<Interface, InterfaceError> {
        Interface::find(&self.name, self.mode)
    }
}

impl fmt::Display for WantedInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            FilterChoice::Auto => f.write_str(&self.name),
            mode => write!(f, "{}:{}", self.name, mode.name()),
        }
    }
}

/// All of them, each once. `mode` is for those without one of their own.
pub(super) fn wanted(
    asked: &[InterfaceArg],
    mode: ModeArg,
) -> Result<Vec<WantedInterface>, UsageError> {
    if let Some(name) = twice(asked) {
        return Err(UsageError(format!("interface {name} is given twice")));
    }
    let wanted = asked.iter().map(|asked| WantedInterface {
        name: asked.name.clone(),
        mode: asked.mode.unwrap_or(mode).into(),
    });
    Ok(wanted.collect())
}

/// A name that is there twice.
pub(super) fn twice(asked: &[InterfaceArg]) -> Option<&str> {
    let names = || asked.iter().map(|asked| asked.name.as_str());
    names()
        .enumerate()
        .find(|(number, name)| names().take(*number).any(|earlier| earlier == *name))
        .map(|(_, name)| name)
}

/// All of these interfaces as they are now.
///
/// # Errors
///
/// [`InterfaceError`] for the first that does not exist; [`UsageError`] for two names of one.
pub fn find_all(wanted: &[WantedInterface]) -> anyhow::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let interface = wanted.find()?;
        if let Some(same) = found.iter().find(|it| it.index == interface.index) {
            let text = format!("{} and {} are one interface", same.name, interface.name);
            return Err(UsageError(text).into());
        }
        found.push(interface);
    }
    Ok(found)
}
