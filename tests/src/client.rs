//! Real FTP clients inside a namespace, each made to use one mode and no other.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::lab::Family;
use crate::netns::Netns;
use crate::programs;
use crate::server::{PASSWORD, USER};
use crate::tls::{Protection, Security, Tls};
use crate::wait::factor;

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// curl.
    Curl,
    /// lftp.
    Lftp,
    /// Python's ftplib.
    Ftplib,
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

/// What to transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// LIST of the root.
    List,
    /// RETR of a file.
    Download(&'a str),
    /// STOR of these bytes under this name.
    Upload(&'a str, &'a [u8]),
}

impl Action<'_> {
    /// A word for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Download(_) => "download",
            Self::Upload(..) => "upload",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether the client said that all went well.
    pub success: bool,
    /// What it received; empty for an upload.
    pub received: Vec<u8>,
    /// The modes it used, in order: clients that are refused one fall back to another.
    pub modes: Vec<Mode>,
    /// Its standard error, with the dialogue of the control connection.
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
    let local = directory.path().join("local");
    if let Action::Upload(_, bytes) = action {
        fs::write(&local, bytes)?;
    }
    let plain = match tool {
        Tool::Curl => curl((mode, security), server, action, &local)?,
        Tool::Lftp => lftp((mode, security), server, action, &local)?,
        Tool::Ftplib => ftplib((mode, security), server, action, &local)?,
    };
    let mut command = with_words(&plain, words);
    // No settings and no history of whoever runs the tests.
    command.env("HOME", directory.path()).env("LC_ALL", "C");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = netns
        .spawn(&mut command)?
        .wait_with_output()
        .context("wait for the client")?;

    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let success = output.status.success();
    let modes = modes_used(&log);
    let received = match action {
        Action::Upload(..) => Vec::new(),
        Action::List if tool == Tool::Lftp => output.stdout,
        Action::List | Action::Download(_) => fs::read(&local).unwrap_or_default(),
    };
    Ok(Outcome {
        success,
        received,
        modes,
        log,
    })
}

/// The same command with words in front: lftp takes everything behind its `-c` for commands.
fn with_words(plain: &Command, words: &[String]) -> Command {
    let mut command = Command::new(plain.get_program());
    command.args(words).args(plain.get_args());
    let set = plain.get_envs();
    command.envs(set.filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The modes in the client's dialogue. curl, lftp and ftplib show it each in its own way.
fn modes_used(log: &str) -> Vec<Mode> {
    let said = |line: &str, verb: &str| {
        [
            format!("> {verb}"),
            format!("---> {verb}"),
            format!("*cmd* '{verb}"),
        ]
        .iter()
        .any(|mark| line.starts_with(mark))
    };
    log.lines()
        .filter_map(|line| Mode::ALL.into_iter().find(|mode| said(line, mode.verb())))
        .collect()
}

fn curl(
    (mode, security): (Mode, Security),
    server: (IpAddr, u16),
    action: Action<'_>,
    local: &Path,
) -> Result<Command> {
    let mut command = Command::new(programs::find("curl")?);
    command.args(["--silent", "--show-error", "--verbose", "--globoff"]);
    command.args(["--max-time", &(20 * factor()).to_string()]);
    command.args(match mode {
        Mode::Pasv => ["--ftp-pasv", "--disable-epsv"].as_slice(),
        Mode::Epsv => &["--ftp-pasv"],
        Mode::Port => &["--ftp-port", "-", "--disable-eprt"],
        Mode::Eprt => &["--ftp-port", "-"],
    });
    // Nobody has signed the certificate.
    command.args(["--insecure", "--user", &format!("{USER}:{PASSWORD}")]);
    command.args(match (security.tls, security.protection) {
        (Tls::Off, _) => [].as_slice(),
        (_, Protection::Private) => &["--ssl-reqd"],
        // TLS for the control connection alone.
        (_, Protection::Clear) => &["--ftp-ssl-control"],
    });
    if security.ccc {
        command.args(["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "active"]);
    }
    let root = format!("{}://{}/", scheme(security.tls), SocketAddr::from(server));
    match action {
        Action::List => command.arg("--output").arg(local).arg(root),
        Action::Download(name) => command.arg("--output").arg(local).arg(root + name),
        Action::Upload(name, _) => command.arg("--upload-file").arg(local).arg(root + name),
    };
    Ok(command)
}

fn lftp(
    (mode, security): (Mode, Security),
    server: (IpAddr, u16),
    action: Action<'_>,
    local: &Path,
) -> Result<Command> {
    let on_off = |on| if on { "on" } else { "off" };
    let local = local.display();
    let action = match action {
        Action::List => "ls".to_owned(),
        Action::Download(name) => format!("get {name} -o {local}"),
        Action::Upload(name, _) => format!("put {local} -o {name}"),
    };
    let script = format!(
        "set cmd:fail-exit on; set net:max-retries 1; set net:timeout {timeout}; \
         set ftp:ssl-allow {tls}; set ftp:ssl-force {tls}; set ssl:verify-certificate no; \
         set ftp:ssl-protect-data {private}; set ftp:ssl-protect-list {private}; \
         set ftp:ssl-use-ccc {ccc}; set ftp:passive-mode {passive}; set ftp:prefer-epsv {epsv}; \
         set ftp:auto-passive-mode off; set xfer:clobber on; \
         open -u {USER},{PASSWORD} {scheme}://{server}; {action}",
        timeout = 10 * factor(),
        tls = on_off(security.tls != Tls::Off),
        private = on_off(security.protection == Protection::Private),
        ccc = on_off(security.ccc),
        scheme = scheme(security.tls),
        passive = on_off(mode.is_passive()),
        epsv = on_off(mode == Mode::Epsv),
        server = SocketAddr::from(server),
    );
    let mut command = programs::command(&programs::find("lftp")?);
    command.args(["-d", "--norc", "-c", &script]);
    Ok(command)
}

fn ftplib(
    (mode, security): (Mode, Security),
    server: (IpAddr, u16),
    action: Action<'_>,
    local: &Path,
) -> Result<Command> {
    let mut command = Command::new(programs::find("python3")?);
    command.args(["-c", include_str!("../clients/ftplib_client.py")]);
    command.args([server.0.to_string(), server.1.to_string()]);
    command.arg(mode.verb().to_lowercase());
    let (action, remote) = match action {
        Action::List => ("list", ""),
        Action::Download(name) => ("download", name),
        Action::Upload(name, _) => ("upload", name),
    };
    command.args([action, remote]).arg(local);
    command.args([USER, PASSWORD]);
    if security.tls != Tls::Off {
        command.arg(match security.tls {
            Tls::Implicit => "implicit",
            Tls::Explicit | Tls::Off => "explicit",
        });
        command.arg(match security.protection {
            Protection::Private => "P",
            Protection::Clear => "C",
        });
        command.args(security.ccc.then_some("ccc"));
    }
    Ok(command)
}

/// What a URL begins with; with `ftp`, the client is told otherwise whether to use TLS.
fn scheme(tls: Tls) -> &'static str {
    match tls {
        Tls::Implicit => "ftps",
        Tls::Off | Tls::Explicit => "ftp",
    }
}
