//! The file of transfers: a JSON object a line, appended; it may be moved away, or removed, at any time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tracing::error;

use crate::query::journal::{EventRow, TransferRow, rfc3339};

/// It names users and files.
const MODE: u32 = 0o640;

/// Where transfers are written, if anywhere.
#[derive(Debug)]
pub struct TransferLog(Option<Target>);

#[derive(Debug)]
struct Target {
    path: PathBuf,
    file: File,
    /// Writing failed, and that has been said.
    complained: bool,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "rfc3339::serialize")]
    time: &'a Timestamp,
    session: Option<u64>,
    user: Option<&'a str>,
    client: Option<IpAddr>,
    client_port: Option<u16>,
    server: Option<IpAddr>,
    server_port: Option<u16>,
    mode: Option<&'a str>,
    #[serde(flatten)]
    transfer: &'a TransferRow,
}

impl TransferLog {
    /// Nowhere.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// To the file at `path`, if there is one; made if it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be opened for appending.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file =
            open(path).with_context(|| format!("cannot write transfers to {}", path.display()))?;
        Ok(Self(Some(Target {
            path: path.to_owned(),
            file,
            complained: false,
        })))
    }

    /// Writes one. What cannot be written is lost, and said once.
    pub fn write(&mut self, row: &EventRow) {
        let (Some(target), Some(transfer)) = (&mut self.0, &row.transfer) else {
            return;
        };
        let line = Line {
            time: &row.time,
            session: row.session,
            user: row.user.as_deref(),
            client: row.client,
            client_port: row.client_port,
            server: row.server,
            server_port: row.server_port,
            mode: row.mode.as_deref(),
            transfer,
        };
        let written = target.follow().and_then(|()| {
            let mut line = serde_json::to_vec(&line)?;
            line.push(b'\n');
            // At once: lines of several writers, or of a reader's moment, are whole.
            target.file.write_all(&line)
        });
        target.complain(written);
    }

    /// Opens the file anew.
    pub fn reopen(&mut self) {
        if let Some(target) = &mut self.0 {
            let reopened = target.reopen();
            target.complain(reopened);
        }
    }
}

impl Target {
    /// Opens the file anew if another one, or none, is at its path by now.
    fn follow(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let same =
            fs::metadata(&self.path).is_ok_and(|it| (it.dev(), it.ino()) == (own.dev(), own.ino()));
        if same { Ok(()) } else { self.reopen() }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    fn complain(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                error!("cannot write transfers to {}: {error}", self.path.display());
            }
            Err(_) => {}
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE).open(path)
}
