//! Real FTP servers inside a namespace.

mod embedded;
mod proftpd;
mod pureftpd;
mod pyftpdlib;
mod super_server;
mod vsftpd;

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::lab::{Family, Host};
use crate::tls::{Certificate, Tls};
use crate::{sockets, wait};

/// Where clients may write, below the root: vsftpd refuses a root that anonymous can write to.
pub const INCOMING: &str = "incoming";

/// Who logs in, on every server.
pub const USER: &str = "anonymous";
/// With what.
pub const PASSWORD: &str = "tests@example.net";
/// The same for crypt(3), by `openssl passwd -6 -salt ftpfw`.
const PASSWORD_HASH: &str = "$6$ftpfw$sxZGmYshR6PTw9sLWL2YhJQOSUbSI.TfkNkku7OKw9E5UzqYBkN4GkXqPaYMZk4TkJ2xRHJe5c8K4YlP8ROhB/";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Daemon {
    /// Debian's vsftpd, installed or only unpacked.
    Vsftpd,
    /// The same, started by inetd for each connection.
    VsftpdOfInetd,
    /// The same, started by systemd-socket-activate for each connection (`Accept=yes`).
    VsftpdOfSystemd,
    /// `embedded-ftp-server` of this package, built on libunftp.
    Embedded,
    /// Debian's ProFTPD, only unpacked: a process for each session, forked.
    Proftpd,
    /// Debian's Pure-FTPd, only unpacked: a process for each session, forked.
    PureFtpd,
    /// pyftpdlib on Debian's Python: one process with all sessions.
    Pyftpdlib,
    /// The same, handed its listener by systemd-socket-activate at the first connection (`Accept=no`).
    PyftpdlibOfSystemd,
}

impl Daemon {
    /// Those that speak TLS.
    pub const WITH_TLS: [Self; 4] = [Self::Vsftpd, Self::Proftpd, Self::PureFtpd, Self::Pyftpdlib];

    /// Those whose listener on the control port another program opens.
    pub const OF_SUPER_SERVERS: [Self; 3] = [
        Self::VsftpdOfInetd,
        Self::VsftpdOfSystemd,
        Self::PyftpdlibOfSystemd,
    ];

    /// Debian builds Pure-FTPd without implicit TLS, and libunftp has no TLS here.
    #[must_use]
    pub fn can(self, tls: Tls) -> bool {
        match self {
            Self::Embedded => tls == Tls::Off,
            Self::PureFtpd => tls != Tls::Implicit,
            Self::Vsftpd | Self::Proftpd | Self::Pyftpdlib => true,
            Self::VsftpdOfInetd | Self::VsftpdOfSystemd | Self::PyftpdlibOfSystemd => true,
        }
    }

    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::VsftpdOfInetd => "vsftpd of inetd",
            Self::VsftpdOfSystemd => "vsftpd of systemd",
            Self::Embedded => "libunftp",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
            Self::Pyftpdlib => "pyftpdlib",
            Self::PyftpdlibOfSystemd => "pyftpdlib of systemd",
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub daemon: Daemon,
    /// One instance listens on one address, unless `dual_stack`: `227` then names 0.0.0.0.
    pub family: Family,
    /// The control port.
    pub port: u16,
    /// Ports of passive transfers; all of the protected range by default, as in vsftpd.
    pub passive_ports: RangeInclusive<u16>,
    /// Whether it offers TLS, and how. With [`Tls::Explicit`] nobody has to use it.
    pub tls: Tls,
    /// Whether vsftpd dials active connections from port 20 (otherwise from an ephemeral one).
    pub from_port_20: bool,
    /// The address that vsftpd names in a `227`, where it is not its own: it is behind a translator.
    pub announced: Option<Ipv4Addr>,
    /// Whether vsftpd listens on `::` and takes clients of both families.
    pub dual_stack: bool,
}

impl Options {
    /// The daemon on port 21 of the host's address of that family.
    #[must_use]
    pub fn new(daemon: Daemon, family: Family) -> Self {
        Self {
            daemon,
            family,
            port: 21,
            passive_ports: 1024..=65535,
            tls: Tls::Off,
            from_port_20: true,
            announced: None,
            dual_stack: false,
        }
    }

    /// The same daemon with TLS, on the port for it.
    ///
    /// # Panics
    /// When the daemon cannot do that: see [`Daemon::can`].
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        assert!(self.daemon.can(tls), "{:?} has no {tls:?} TLS", self.daemon);
        self.tls = tls;
        self.port = tls.port();
        self
    }
}

/// Where a server lives.
struct Place<'a> {
    /// Its configuration, its log and whatever else it wants to write.
    directory: &'a Path,
    /// What it serves.
    root: &'a Path,
    /// What it listens on.
    address: IpAddr,
}

impl Place<'_> {
    /// Writes a file of its configuration.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// The certificate of this process and its key, in one file.
    fn certificate(&self) -> Result<PathBuf> {
        let Certificate {
            certificate, key, ..
        } = Certificate::get()?;
        let path = self.write("certificate.pem", format!("{key}{certificate}"))?;
        // ProFTPD refuses a key that others may read.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// A passwd(5) file whose only user is [`USER`], with the rights of `daemon`; `rest` is what
    /// stands behind the home.
    fn passwd(&self, rest: &str) -> Result<PathBuf> {
        let root = self.root.display();
        let line = format!("{USER}:{PASSWORD_HASH}:1:1::{root}{rest}\n");
        let path = self.write("passwd", line)?;
        // ProFTPD refuses one that others may read.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }
}

/// A running server, killed on drop.
#[derive(Debug)]
pub struct FtpServer {
    child: Child,
    directory: TempDir,
    /// What it listens on.
    pub address: IpAddr,
    /// Its control port.
    pub port: u16,
}

impl FtpServer {
    /// Starts a server on `host` and waits until it listens. Anonymous may read everything and
    /// write to [`INCOMING`].
    ///
    /// # Errors
    /// When the program is missing, or ends before it listens; the error has its log.
    pub fn start(host: &Host, options: &Options) -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-server-").context("make a directory")?;
        let address = host.address(options.family);
        let root = directory.path().join("root");
        let incoming = root.join(INCOMING);
        fs::create_dir_all(&incoming)?;
        // vsftpd serves as `daemon`: unlike `nobody`, it has a home that exists, which vsftpd enters.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        fs::set_permissions(&incoming, Permissions::from_mode(0o777))?;

        let place = Place {
            directory: directory.path(),
            root: &root,
            address,
        };
        let mut command = match options.daemon {
            Daemon::Vsftpd => vsftpd::command(&place, options)?,
            Daemon::VsftpdOfInetd => {
                let daemon = vsftpd::command_for_one(&place, options)?;
                super_server::inetd(&place, options, &daemon)?
            }
            Daemon::VsftpdOfSystemd => {
                let daemon = vsftpd::command_for_one(&place, options)?;
                super_server::systemd(&place, options, &daemon, true)?
            }
            Daemon::Embedded => embedded::command(&place, options)?,
            Daemon::Proftpd => proftpd::command(&place, options)?,
            Daemon::PureFtpd => pureftpd::command(&place, options)?,
            Daemon::Pyftpdlib => pyftpdlib::command(&place, options)?,
            Daemon::PyftpdlibOfSystemd => {
                let daemon = pyftpdlib::command(&place, options)?;
                super_server::systemd(&place, options, &daemon, false)?
            }
        };
        let log = File::create(directory.path().join("log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = host.netns.spawn(&mut command)?;
        let mut server = Self {
            child,
            directory,
            address,
            port: options.port,
        };
        server.wait_for_listen(options.dual_stack)?;
        Ok(server)
    }

    /// The directory it serves.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// What it has written to its standard output and error.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Its process: the one that listens on the control port.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_for_listen(&mut self, dual_stack: bool) -> Result<()> {
        let listened = match dual_stack {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => self.address,
        };
        wait::until("the FTP server to listen", || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the FTP server ended with {status}: {}", self.log().trim());
            }
            let address = SocketAddr::new(listened, self.port);
            Ok(sockets::listens_at(self.child.id(), address)?.then_some(()))
        })
    }
}

impl Drop for FtpServer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
