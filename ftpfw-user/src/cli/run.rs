//! Arguments of `ftpfw run`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::LimitArgs;
use crate::config::{ImplicitTls, InterfaceArg, OpenPort, PassivePorts, PortRange};

/// `ftpfw run`. What is not given here is looked up in the configuration file, and else has the default
/// that [`crate::config`] gives it; of a list, the flags take the place of the file's.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Interface to protect, with a colon and a mode if that is not --mode's (`eth1:tc`); may be given
    /// several times.
    #[arg(short, long = "interface", value_name = "IFACE[:MODE]", num_args = 1..)]
    pub interfaces: Vec<InterfaceArg>,
    /// Port of FTP control connections; may be given several times [default: 21].
    #[arg(long = "control-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub control_ports: Vec<u16>,
    /// Port of control connections that are TLS from the first byte; may be given several times;
    /// none: there is none [default: 990].
    #[arg(long = "implicit-tls-port", value_name = "PORT|none")]
    pub implicit_tls_ports: Vec<ImplicitTls>,
    /// Ports that are closed unless allowed; several with commas, or by giving it several times
    /// [default: 1024-65535].
    #[arg(long = "protect", value_name = "LO-HI", value_delimiter = ',')]
    pub protect: Vec<PortRange>,
    /// Protected ports that stay open, for example 8080/tcp,9000-9010/udp; without a protocol, for
    /// both; may be given several times.
    #[arg(
        long = "open-port",
        value_name = "PORT[-PORT][/PROTO]",
        value_delimiter = ','
    )]
    pub open_ports: Vec<OpenPort>,
    /// What happens to UDP datagrams to protected ports that answer nothing [default: drop].
    #[arg(long, value_enum)]
    pub udp: Option<UdpArg>,
    /// Where the filter runs: as XDP in the driver or in the network stack (auto: the first of these
    /// that works), or at TC ingress [default: auto].
    #[arg(long, value_enum)]
    pub mode: Option<ModeArg>,
    /// Who arms tuples: the programs in the kernel, or this process alone [default: inline; before Linux 5.17
    /// agent].
    #[arg(long, value_enum)]
    pub opener: Option<OpenerArg>,
    /// How passive data connections of encrypted sessions are admitted [default: listener].
    #[arg(long, value_enum)]
    pub ftps: Option<FtpsArg>,
    /// Passive range of the FTP daemon, for `--ftps range`; auto: what vsftpd, proftpd and pure-ftpd
    /// have in their configuration.
    #[arg(long, value_name = "LO-HI|auto")]
    pub passive_ports: Option<PassivePorts>,
    /// Decide, count and report, but drop nothing; `--dry-run=false` against a file that says so.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dry_run: Option<bool>,
    /// Leave the filter in place when this process ends; or not, `--keep-attached=false`.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub keep_attached: Option<bool>,
    /// Configuration file (TOML, docs/configuration.md); flags go before what it says. SIGHUP reads it
    /// again.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory on a bpffs where maps and links are pinned [default: /sys/fs/bpf/ftpfw].
    #[arg(long, value_name = "DIR")]
    pub pin_dir: Option<PathBuf>,
    /// Unix socket of the agent [default: /run/ftpfw/agent.sock].
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Address and port on which Prometheus finds metrics over HTTP, for example 127.0.0.1:9100; they are
    /// on the agent's socket in any case [default: none].
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// File that gets a line of JSON for each data connection; it may be rotated at any time, and SIGHUP
    /// opens it again [default: none].
    #[arg(long, value_name = "FILE")]
    pub transfer_log: Option<PathBuf>,
    /// What others can make it hold.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Native, else generic.
    Auto,
    /// As XDP in the driver: a packet that is dropped costs least.
    Native,
    /// As XDP in the network stack: for drivers without it.
    Generic,
    /// At TC ingress: works everywhere, and bulk transfers over a veth stay fast.
    Tc,
}

/// `--opener`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OpenerArg {
    /// The programs in the kernel (Linux 5.17).
    Inline,
    /// This process.
    Agent,
}

/// `--udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UdpArg {
    /// Drop what answers no outgoing datagram.
    Drop,
    /// Do not look at UDP.
    Pass,
}

/// `--ftps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FtpsArg {
    /// Where the FTP daemon listens for them: one connection for each listener.
    Listener,
    /// On the ports of --passive-ports, for clients with an encrypted session.
    Range,
    /// Not at all.
    Deny,
}
