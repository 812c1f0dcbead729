//! Network interfaces by name.

use std::fmt;

use nix::net::if_::if_nametoindex;

use super::UsageError;

/// An interface that existed when it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name then; an administrator may rename it later.
    pub name: String,
    /// Its index, which stays the same until it is deleted.
    pub index: u32,
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
    pub fn find(name: &str) -> Result<Self, InterfaceError> {
        if_nametoindex(name)
            .map(|index| Self {
                name: name.to_owned(),
                index,
            })
            .map_err(|_| InterfaceError {
                name: name.to_owned(),
            })
    }
}

/// All of them, each once.
pub(super) fn resolve(names: &[String]) -> anyhow::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::with_capacity(names.len());
    for name in names {
        let interface = Interface::find(name)?;
        if found.iter().any(|earlier| earlier.index == interface.index) {
            return Err(UsageError(format!("interface {name} is given twice")).into());
        }
        found.push(interface);
    }
    Ok(found)
}
