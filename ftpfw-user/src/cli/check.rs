//! Arguments of `ftpfw check`.

use std::path::PathBuf;

use clap::Args;

use crate::config::InterfaceArg;

/// `ftpfw check`. A file alone is read and nothing else is looked at; everything else looks at this host.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Interface to look at, with a colon and a mode if it is not to be `auto` (`eth1:tc`); may be given
    /// several times. Without it: the kernel and the FTP daemons.
    #[arg(short, long = "interface", value_name = "IFACE[:MODE]", num_args = 1..)]
    pub interfaces: Vec<InterfaceArg>,
    /// Configuration file to read as `ftpfw run --config` would.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// With --config: look at this host too, with the interfaces and ports that the file names.
    #[arg(long)]
    pub host: bool,
    /// JSON instead of lines.
    #[arg(long)]
    pub json: bool,
}

impl CheckArgs {
    /// Whether this host is to be looked at.
    #[must_use]
    pub const fn is_of_host(&self) -> bool {
        self.host || self.config.is_none() || !self.interfaces.is_empty()
    }
}
