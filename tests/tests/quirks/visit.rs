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
}

/// What came of it.
#[derive(Debug)]
pub struct Came {
    /// The client says so, and the file is there.
    pub works: bool,
    /// In order.
    pub modes: Vec<Mode>,
    /// Nobody's but a reader's.
    #[expect(dead_code, reason = "shown when a test fails")]
    log: String,
}

/// A download, and an upload behind it.
pub fn visit(
    lab: &Lab,
    server: &Quirky<'_>,
    visit: &Visit,
    guard: Option<&Guard<'_>>,
) -> Result<Came> {
    let directory = TempDir::with_prefix("ftpfw-visitor-")?;
    let words = visit.by.words(directory.path())?;
    let Cell {
        tool,
        mode,
        security,
        ..
    } = visit.cell;
    let come = |action| {
        let address = (server.listeners.address, 21);
        let client = &lab.client.netns;
        transfer_with(client, (tool, mode, security), address, action, &words)
    };
    let outcome = server.serve_during(guard, || come(Action::Download("file")))?;
    Ok(Came {
        works: outcome.success && outcome.received == content(),
        modes: outcome.modes,
        log: outcome.log,
    })
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
        write!(f, "{how} by {:?}", self.modes)
    }
}
