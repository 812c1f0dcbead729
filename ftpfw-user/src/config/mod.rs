//! What `ftpfw run` was asked to do, resolved: every value checked, every default filled in.
//!
//! What is a flag goes before what is in the configuration file ([`mod@file`]), and that before the default.

mod changes;
pub mod file;
mod interface;
mod limits;
mod opener;
mod passive;
mod ports;
mod resolve;

use std::{fmt, net::SocketAddr, path::PathBuf};

use ftpfw_common::abi::policy::Settings;

pub use changes::{Differences, Value};
pub use interface::{Interface, InterfaceArg, InterfaceError, WantedInterface, find_all};
pub use limits::Limits;
pub use passive::{PassivePorts, of_daemon as passive_range_of};
pub use ports::{ImplicitTls, OpenPort, PortPolicy, PortRange, Transport};

use crate::{cli::ModeArg, kernel::pins::AttachedMode};

/// A resolved configuration: one value each, nothing optional that is not really optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The interfaces, each once. They need not exist.
    pub interfaces: Vec<WantedInterface>,
    /// What each local port is.
    pub ports: PortPolicy,
    /// What goes into the map `SETTINGS`.
    pub settings: Settings,
    /// `--opener inline` was asked for, and is not just the default.
    pub inline_opener_asked: bool,
    /// How much others can make it hold.
    pub limits: Limits,
    /// Leave everything attached at the end.
    pub keep_attached: bool,
    /// Directory of pins.
    pub pin_dir: PathBuf,
    /// Socket of the agent.
    pub socket: PathBuf,
    /// Where metrics are answered over TCP, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The file of transfers, if there is to be one.
    pub transfer_log: Option<PathBuf>,
}

/// Where the filter may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterChoice {
    /// As native XDP; where the driver cannot, as generic XDP.
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
    /// At TC ingress.
    Tc,
}

/// Why the arguments make no configuration: the user's mistake, exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl FilterChoice {
    /// The word for it on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

impl From<AttachedMode> for FilterChoice {
    fn from(mode: AttachedMode) -> Self {
        match mode {
            AttachedMode::Native => Self::Native,
            AttachedMode::Generic => Self::Generic,
            AttachedMode::Tc => Self::Tc,
        }
    }
}

impl From<ModeArg> for FilterChoice {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Auto => Self::Auto,
            ModeArg::Native => Self::Native,
            ModeArg::Generic => Self::Generic,
            ModeArg::Tc => Self::Tc,
        }
    }
}
