//! Real FTP servers inside a namespace.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::lab::{Family, Host};
use crate::{programs, sockets, wait};

/// Where clients may write, below the root: vsftpd refuses a root that anonymous can write to.
pub const INCOMING: &str = "incoming";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Daemon {
    /// Debian's vsftpd, installed or only unpacked.
    Vsftpd,
    /// `embedded-ftp-server` of this package, built on libunftp.
    Embedded,
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
            from_port_20: true,
            announced: None,
            dual_stack: false,
        }
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

        let mut command = match options.daemon {
            Daemon::Vsftpd => vsftpd(directory.path(), &root, address, options)?,
            Daemon::Embedded => embedded(&root, address, options)?,
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
        server.wait_for_listen()?;
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

    fn wait_for_listen(&mut self) -> Result<()> {
        wait::until("the FTP server to listen", || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the FTP server ended with {status}: {}", self.log().trim());
            }
            let listens = sockets::listening(self.child.id())?;
            Ok(listens.contains(&self.port).then_some(()))
        })
    }
}

impl Drop for FtpServer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn vsftpd(directory: &Path, root: &Path, address: IpAddr, options: &Options) -> Result<Command> {
    let program = programs::find("vsftpd")?;
    // Where its unprivileged half is locked up: must be empty and not writable.
    let empty = directory.join("empty");
    fs::create_dir(&empty)?;
    let (listen, other, listen_address) = match options.family {
        Family::V4 if !options.dual_stack => ("listen", "listen_ipv6", "listen_address"),
        _ => ("listen_ipv6", "listen", "listen_address6"),
    };
    // Without an address it listens on all of them, of both families.
    let address = match options.dual_stack {
        true => String::new(),
        false => format!("{listen_address}={address}\n"),
    };
    let announced = options
        .announced
        .map_or(String::new(), |address| format!("pasv_address={address}\n"));
    let yes_no = |yes| if yes { "YES" } else { "NO" };
    let config = directory.join("vsftpd.conf");
    fs::write(
        &config,
        format!(
            "{listen}=YES\n{other}=NO\n{address}listen_port={port}\n\
             background=NO\nanonymous_enable=YES\nlocal_enable=NO\nftp_username=daemon\n\
             anon_root={root}\nwrite_enable=YES\nanon_upload_enable=YES\nanon_umask=022\n\
             secure_chroot_dir={empty}\n\
             connect_from_port_20={port_20}\npasv_min_port={low}\npasv_max_port={high}\n\
             {announced}xferlog_enable=YES\nlog_ftp_protocol=YES\nvsftpd_log_file={log}\n",
            port = options.port,
            root = root.display(),
            empty = empty.display(),
            port_20 = yes_no(options.from_port_20),
            low = options.passive_ports.start(),
            high = options.passive_ports.end(),
            log = directory.join("protocol.log").display(),
        ),
    )?;
    let mut command = programs::command(&program);
    command.arg(config);
    Ok(command)
}

fn embedded(root: &Path, address: IpAddr, options: &Options) -> Result<Command> {
    ensure!(
        options.announced.is_none() && !options.dual_stack,
        "the embedded server has no such option: {options:?}"
    );
    let program = programs::find_built(
        "embedded-ftp-server",
        "FTPFW_EMBEDDED_SERVER",
        "cargo build --release -p ftpfw-tests --features embedded-server",
    )?;
    let mut command = Command::new(program);
    let listen = std::net::SocketAddr::from((address, options.port)).to_string();
    let (low, high) = (options.passive_ports.start(), options.passive_ports.end());
    command.args(["--listen", &listen, "--root"]).arg(root);
    command.args(["--passive-ports", &format!("{low}-{high}")]);
    Ok(command)
}
