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

/// All of them, each once. `mode` is for those without one of their own.
pub(super) fn resolve(asked: &[InterfaceArg], mode: ModeArg) -> anyhow::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::with_capacity(asked.len());
    for InterfaceArg { name, mode: own } in asked {
        let interface = Interface::find(name, own.unwrap_or(mode).into())?;
        if found.iter().any(|earlier| earlier.index == interface.index) {
            return Err(UsageError(format!("interface {name} is given twice")).into());
        }
        found.push(interface);
    }
    Ok(found)
}
