//! Arguments of `ftpfw check`.

use std::path::PathBuf;

use clap::Args;

/// `ftpfw check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration file to read as `ftpfw run --config` would.
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// JSON instead of lines.
    #[arg(long)]
    pub json: bool,
}
