//! Real FTP clients inside a namespace, each made to use one mode and no other.

mod action;
mod curl;
mod ftplib;
mod lftp;
mod tnftp;
mod wget;

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::lab::Family;
use crate::netns::Netns;
use crate::tls::{Security, Tls};
use crate::{programs, wait};

pub use action::{Action, Deed};

/// How many parts of a file come side by side.
pub const SEGMENTS: usize = 3;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// curl.
    Curl,
    /// lftp.
    Lftp,
    /// Python's ftplib.
    Ftplib,
    /// tnftp, the BSDs' `ftp`.
    Tnftp,
    /// wget.
    Wget,
}

impl Tool {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Curl,
        Self::Lftp,
        Self::Ftplib,
        Self::Tnftp,
        Self::Wget,
    ];

    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Lftp => "lftp",
            Self::Ftplib => "ftplib",
            Self::Tnftp => "tnftp",
            Self::Wget => "wget",
        }
    }
}

/// How the data connection is agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// PASV (RFC 959), IPv4 only.
    Pasv,
    /// EPSV (RFC 2428).
    Epsv,
    /// PORT (RFC 959), IPv4 only.
    Port,
    /// EPRT (RFC 2428).
    Eprt,
}

impl Mode {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Pasv, Self::Epsv, Self::Port, Self::Eprt];

    /// The command that asks for it.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Pasv => "PASV",
            Self::Epsv => "EPSV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }

    /// Whether the client dials the data connection.
    #[must_use]
    pub fn is_passive(self) -> bool {
        matches!(self, Self::Pasv | Self::Epsv)
    }

    /// PASV and PORT carry four octets of address: they are of IPv4 only.
    #[must_use]
    pub fn exists_on(self, family: Family) -> bool {
        family == Family::V4 || matches!(self, Self::Epsv | Self::Eprt)
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the client said that all went well; tnftp, which reads a script, always does.
    pub success: bool,
    /// What it received; empty for an upload.
    pub received: Vec<u8>,
    /// The modes it used, in order: clients that are refused one fall back to another.
    pub modes: Vec<Mode>,
    /// What it printed, with the dialogue of the control connection.
    pub log: String,
}

/// One transfer by one client on one control connection, without TLS.
///
/// # Errors
/// As [`transfer_over`].
pub fn transfer(
    netns: &Netns,
    tool: Tool,
    mode: Mode,
    server: (IpAddr, u16),
    action: Action<'_>,
) -> Result<Outcome> {
    transfer_over(netns, (tool, mode, Security::NONE), server, action)
}

/// One transfer by one client on one control connection.
///
/// # Errors
/// When the client is not installed or cannot be started. That the transfer failed, or went another
/// way than the one asked for, is no error but an [`Outcome`].
pub fn transfer_over(
    netns: &Netns,
    how: (Tool, Mode, Security),
    server: (IpAddr, u16),
    action: Action<'_>,
) -> Result<Outcome> {
    transfer_with(netns, how, server, action, &[])
}

/// As [`transfer_over`], by a client with these words in front of its command line.
///
/// # Errors
/// As [`transfer_over`].
pub fn transfer_with(
    netns: &Netns,
    how: (Tool, Mode, Security),
    server: (IpAddr, u16),
    action: Action<'_>,
    words: &[String],
) -> Result<Outcome> {
    let (tool, mode, security) = how;
    let directory = TempDir::with_prefix("ftpfw-client-").context("make a directory")?;
    let call = Call {
        mode,
        security,
        server,
        action,
        directory: directory.path(),
    };
    if let Action::Upload(_, bytes) | Action::Resume(_, bytes) = action {
        fs::write(call.local(), bytes)?;
    }
    let prepared = match tool {
        Tool::Curl => curl::prepare(&call),
        Tool::Lftp => lftp::prepare(&call),
        Tool::Ftplib => ftplib::prepare(&call),
        Tool::Tnftp => tnftp::prepare(&call),
        Tool::Wget => wget::prepare(&call),
    }?;
    let mut command = match words {
        [] => prepared.command,
        _ => with_words(&prepared.command, words),
    };
    let (success, log) = run(netns, tool, &call, &mut command)?;
    let received = match action {
        Action::Upload(..) => Vec::new(),
        _ => {
            let parts = prepared
                .files
                .iter()
                .map(|file| fs::read(file).unwrap_or_default());
            parts.collect::<Vec<_>>().concat()
        }
    };
    Ok(Outcome {
        success,
        received,
        modes: modes_used(&log),
        log,
    })
}

/// The same command with words in front: lftp takes everything behind its `-c` for commands. It reads
/// nothing from its standard input.
fn with_words(plain: &Command, words: &[String]) -> Command {
    let mut command = Command::new(plain.get_program());
    command.args(words).args(plain.get_args());
    let set = plain.get_envs();
    command.envs(set.filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null());
    command
}

/// Runs the client to its end, or ends it when its time is over; whether it was content, and what it
/// said.
fn run(
    netns: &Netns,
    tool: Tool,
    call: &Call<'_>,
    command: &mut Command,
) -> Result<(bool, String)> {
    // No settings and no history of whoever runs the tests.
    command.env("HOME", call.directory).env("LC_ALL", "C");
    let path = call.directory.join("log");
    let log = File::create(&path)?;
    command.stdout(log.try_clone()?).stderr(log);
    let mut child = netns.spawn(command)?;
    let interrupted = match (tool, call.action) {
        (Tool::Tnftp, Action::Abort(..)) => tnftp::interrupt(&mut child, &call.aside()),
        _ => Ok(()),
    };
    let ended = interrupted.and_then(|()| wait::exit("the client", &mut child));
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let said = fs::read(&path)?;
    let mut log = String::from_utf8_lossy(&said).into_owned();
    match ended {
        Ok(status) => Ok((status.success(), log)),
        Err(error) => {
            log += &format!("{error:#}\n");
            Ok((false, log))
        }
    }
}

/// What a client is to do.
struct Call<'a> {
    mode: Mode,
    security: Security,
    server: (IpAddr, u16),
    action: Action<'a>,
    /// Its own, for whatever it reads and writes.
    directory: &'a Path,
}

impl Call<'_> {
    /// What is received goes there, what is sent is there.
    fn local(&self) -> PathBuf {
        self.directory.join("local")
    }

    /// What comes of a file before it is aborted.
    fn aside(&self) -> PathBuf {
        self.directory.join("aside")
    }

    /// With `ftp`, the client is told otherwise whether to use TLS.
    fn url(&self, name: &str) -> String {
        let scheme = match self.security.tls {
            Tls::Implicit => "ftps",
            Tls::Off | Tls::Explicit => "ftp",
        };
        format!("{scheme}://{}/{name}", SocketAddr::from(self.server))
    }
}

/// A client that is ready to run.
struct Prepared {
    command: Command,
    /// What it receives into, part by part.
    files: Vec<PathBuf>,
}

impl Prepared {
    fn new(command: Command, files: Vec<PathBuf>) -> Self {
        Self { command, files }
    }
}

/// A program that reads nothing from its standard input, unless it is told to.
fn command(program: &str) -> Result<Command> {
    let mut command = programs::command(&programs::find(program)?);
    command.stdin(Stdio::null());
    Ok(command)
}

/// The modes in the client's dialogue, which each shows in its own way.
fn modes_used(log: &str) -> Vec<Mode> {
    let said = |line: &str, verb: &str| {
        [
            format!("> {verb}"),
            format!("---> {verb}"),
            format!("--> {verb}"),
            format!("*cmd* '{verb}"),
        ]
        .iter()
        .any(|mark| line.starts_with(mark))
    };
    log.lines()
        .filter_map(|line| Mode::ALL.into_iter().find(|mode| said(line, mode.verb())))
        .collect()
}
