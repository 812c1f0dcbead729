//! Every client × mode × family × action against one server.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::client::{Action, Mode, Tool, transfer_over};
use crate::control::{Control, active_command};
use crate::lab::{Family, Host};
use crate::server::{Daemon, FtpServer, INCOMING};
use crate::tls::{Protection, Security, Tls};

/// Large enough for several segments and super-packets, small enough for 0.3 s a cell.
const SIZE: usize = 300_000;
const NAME: &str = "download.bin";

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
            .filter(move |cell| cell.mode.exists_on(family) && cell.tool_can())
    }

    /// The same cell with TLS.
    #[must_use]
    pub fn over(self, security: Security) -> Self {
        Self { security, ..self }
    }

    /// lftp says EPRT only where PORT has no room for the address (its ftpclass.cc).
    fn tool_can(self) -> bool {
        (self.tool, self.mode, self.family) != (Tool::Lftp, Mode::Eprt, Family::V4)
    }

    /// Why this cell is empty without any firewall; `None` when it works.
    #[must_use]
    pub fn left_out(self, daemon: Daemon) -> Option<&'static str> {
        let Security {
            tls,
            protection,
            ccc,
        } = self.security;
        if !daemon.can(tls) {
            return Some("the server is built without this kind of TLS");
        }
        if ccc && !matches!(daemon, Daemon::Proftpd | Daemon::PureFtpd) {
            return Some("the server has no CCC");
        }
        if ccc && self.tool == Tool::Lftp {
            return Some("lftp 4.9.2 often closes after CCC, by the timing of TLS's last record");
        }
        let private = tls != Tls::Off && protection == Protection::Private;
        if private && self.tool == Tool::Curl && !self.mode.is_passive() {
            return Some("curl 7.88 waits in vain after it has accepted an encrypted connection");
        }
        None
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
    let content = bytes();
    let upload = format!(
        "{INCOMING}/{:?}-{:?}-{:?}-{:?}-{:?}.bin",
        cell.tool, cell.mode, cell.family, cell.security.tls, cell.security.protection
    );
    fs::write(server.root().join(NAME), &content)?;
    for action in [
        Action::List,
        Action::Download(NAME),
        Action::Upload(&upload, &content),
    ] {
        let address = (server.address, server.port);
        let outcome = {
            let how = (cell.tool, cell.mode, cell.security);
            transfer_over(&client.netns, how, address, action)?
        };
        let right = match action {
            Action::List => outcome
                .received
                .windows(NAME.len())
                .any(|w| w == NAME.as_bytes()),
            Action::Download(_) => outcome.received == content,
            Action::Upload(..) => {
                fs::read(server.root().join(&upload)).is_ok_and(|stored| stored == content)
            }
        };
        let name = action.name();
        let log = &outcome.log;
        ensure!(outcome.success, "{daemon:?} {cell:?} {name} failed:\n{log}");
        // Clients fall back: a test of EPSV must not pass by way of PASV.
        ensure!(
            outcome.modes == [cell.mode],
            "{cell:?} used {:?}:\n{log}",
            outcome.modes
        );
        ensure!(
            right,
            "{daemon:?} {cell:?} {name}: other bytes arrived:\n{log}"
        );
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
