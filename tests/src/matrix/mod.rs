//! Servers × clients × modes × kinds of TLS × families × actions, each under no firewall, ftpfw in all
//! its ways, and nftables: `cargo xtask matrix`. Tests run parts of it.

pub mod choice;
mod reasons;
pub mod run;
pub mod side;
pub mod stranger;

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};

use crate::client::{Action, Deed, Mode, Outcome, SEGMENTS, Tool, transfer_over};
use crate::control::{Control, active_command};
use crate::lab::{Family, Host};
use crate::server::{Daemon, FtpServer, INCOMING};
use crate::tls::Security;

/// Large enough for several segments and super-packets, small enough for 0.3 s a cell.
const SIZE: usize = 300_000;
const NAME: &str = "download.bin";
/// How much of the file a client has that resumes.
const HALF: usize = SIZE / 2;
/// A file that no buffer on the way holds as a whole, and that takes no room on the disk.
const LARGE: &str = "large.bin";
const LARGE_SIZE: u64 = 256 << 20;

/// One field of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The client.
    pub tool: Tool,
    /// The kind of negotiation.
    pub mode: Mode,
    /// Over which protocol.
    pub family: Family,
    /// With or without TLS.
    pub security: Security,
}

impl Cell {
    /// The cells of a client over one family; those that cannot exist are left out.
    pub fn all(tool: Tool, family: Family) -> impl Iterator<Item = Self> {
        Mode::ALL
            .into_iter()
            .map(move |mode| Self {
                tool,
                mode,
                family,
                security: Security::NONE,
            })
            .filter(move |cell| cell.mode.exists_on(family) && cell.tool_cannot().is_none())
    }

    /// The same cell with TLS.
    #[must_use]
    pub fn over(self, security: Security) -> Self {
        Self { security, ..self }
    }

    /// Whether the server has this mode at all: libunftp knows no EPRT.
    #[must_use]
    pub fn server_can(self, daemon: Daemon) -> bool {
        daemon != Daemon::Embedded || self.mode != Mode::Eprt
    }
}

/// Runs listing, download and upload of one cell and compares every byte. Where the server has no
/// such mode, checks that it says so: a silence would be the firewall's.
///
/// # Errors
/// With the cell, the action and the client's dialogue.
pub fn run_cell(client: &Host, server: &FtpServer, daemon: Daemon, cell: Cell) -> Result<()> {
    if !cell.server_can(daemon) {
        return refused(client, server, cell).with_context(|| format!("{daemon:?} {cell:?}"));
    }
    for deed in [Deed::List, Deed::Download, Deed::Upload] {
        perform(client, server, cell, deed).with_context(|| format!("{daemon:?}"))?;
    }
    Ok(())
}

/// Has a client do it, and compares every byte.
///
/// # Errors
/// With the cell, the action and the client's dialogue.
pub fn perform(client: &Host, server: &FtpServer, cell: Cell, deed: Deed) -> Result<()> {
    static UPLOADS: AtomicU32 = AtomicU32::new(0);
    let content = bytes();
    lay_out(&server.root(), &content)?;
    let upload = format!("{INCOMING}/{}.bin", UPLOADS.fetch_add(1, Relaxed));
    let action = match deed {
        Deed::List => Action::List,
        Deed::Download => Action::Download(NAME),
        Deed::Upload => Action::Upload(&upload, &content),
        Deed::Resume => Action::Resume(NAME, &content[..HALF]),
        Deed::Segments => Action::Segments(NAME, SIZE),
        Deed::Abort => Action::Abort(LARGE, NAME),
    };
    let address = (server.address, server.port);
    let how = (cell.tool, cell.mode, cell.security);
    let outcome = transfer_over(&client.netns, how, address, action)?;
    let right = match deed {
        Deed::List => contains(&outcome.received, NAME),
        Deed::Upload => fs::read(server.root().join(&upload)).is_ok_and(|stored| stored == content),
        _ => outcome.received == content,
    };
    let (name, log) = (deed.name(), &outcome.log);
    ensure!(outcome.success, "{cell:?} {name} failed:\n{log}");
    did_what_was_asked(cell, deed, &outcome)?;
    ensure!(right, "{cell:?} {name}: other bytes arrived:\n{log}");
    Ok(())
}

/// Clients fall back: a test of EPSV must not pass by way of PASV, nor one of REST by a whole transfer.
fn did_what_was_asked(cell: Cell, deed: Deed, outcome: &Outcome) -> Result<()> {
    let Outcome { modes, log, .. } = outcome;
    let number = match deed {
        // lftp is content with two when the first is fast.
        Deed::Segments => 2..=SEGMENTS,
        Deed::Abort => 2..=2,
        _ => 1..=1,
    };
    ensure!(
        number.contains(&modes.len()) && modes.iter().all(|mode| *mode == cell.mode),
        "{cell:?} used {modes:?}:\n{log}"
    );
    // tnftp says ABOR without saying that it does.
    let words = match deed {
        Deed::Resume => ["REST "].as_slice(),
        Deed::Abort => &["ABOR", "receive aborted"],
        _ => &[""],
    };
    ensure!(
        words.iter().any(|word| log.contains(word)),
        "{cell:?} {}: nothing of {words:?}:\n{log}",
        deed.name()
    );
    Ok(())
}

fn contains(bytes: &[u8], name: &str) -> bool {
    bytes
        .windows(name.len())
        .any(|window| window == name.as_bytes())
}

/// What there is to be read.
fn lay_out(root: &Path, content: &[u8]) -> Result<()> {
    let (small, large) = (root.join(NAME), root.join(LARGE));
    if !small.exists() {
        fs::write(small, content)?;
        File::create(large)?.set_len(LARGE_SIZE)?;
    }
    Ok(())
}

/// Asks by hand: some clients, told no, fall back, and curl 7.88 waits for a connection all the same.
fn refused(client: &Host, server: &FtpServer, cell: Cell) -> Result<()> {
    let mut control = Control::login(&client.netns, (server.address, server.port))?;
    let command = active_command(cell.mode, client.address(cell.family), 50_000)?;
    let reply = control.command(&command)?;
    ensure!(
        reply.code == 500,
        "works although the server was said to refuse it: {reply:?}"
    );
    Ok(())
}

/// Bytes that no newline conversion, repetition or loss leaves as they are.
fn bytes() -> Vec<u8> {
    (0..SIZE)
        .map(|i| (i ^ (i >> 8)).to_le_bytes()[0].wrapping_mul(31))
        .collect()
}
