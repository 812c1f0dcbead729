//! One client at a quirky server.

use std::fmt;

use anyhow::Result;
use ftpfw_tests::client::{Action, Mode, transfer_with};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::Cell;
use ftpfw_tests::quirky::{Guard, Quirky, Visitor, content};
use tempfile::TempDir;

/// Who comes, and how.
#[derive(Clone, Debug)]
pub struct Visit {
    pub by: Visitor,
    pub cell: Cell,
    /// Whether it brings a file, too.
    pub uploads: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Came {
    /// The client says so, and every byte is there.
    pub works: bool,
    /// Which it asked for, in order.
    pub modes: Vec<Mode>,
    /// Its dialogue.
    pub log: String,
}

/// A download and, if that works, perhaps an upload; a control connection each.
pub fn visit(
    lab: &Lab,
    server: &Quirky<'_>,
    visit: &Visit,
    guard: Option<&Guard<'_>>,
) -> Result<Came> {
    let directory = TempDir::with_prefix("ftpfw-visitor-")?;
    let words = visit.by.words(directory.path())?;
    let cell = visit.cell;
    let how = (cell.tool, cell.mode, cell.security);
    let address = (server.listeners.address, 21);
    let client = &lab.client.netns;
    let content = content();
    let mut came = Came::default();
    let mut actions = vec![Action::Download("file")];
    actions.extend(visit.uploads.then_some(Action::Upload("file", &content)));
    for action in actions {
        let outcome = server.serve_during(guard, || {
            transfer_with(client, how, address, action, &words)
        })?;
        let arrived = match action {
            Action::Upload(..) => server.take_stored(),
            _ => outcome.received,
        };
        came.works = outcome.success && arrived == content;
        came.modes.extend(outcome.modes);
        came.log += &outcome.log;
        if !came.works {
            break;
        }
    }
    Ok(came)
}

impl Visit {
    /// Whether a `fails` line means this one.
    pub fn is_named(&self, line: &str) -> bool {
        let name = self.by.name();
        match line.split_once(' ') {
            None => line == name,
            Some((client, "ipv6")) => client == name && self.cell.family == Family::V6,
            Some(_) => false,
        }
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { mode, family, .. } = self.cell;
        write!(f, "{}, {mode:?}, {family:?}", self.by.name())
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.works { "works" } else { "fails" };
        write!(f, "{how} by {:?}\n{}", self.modes, self.log)
    }
}
