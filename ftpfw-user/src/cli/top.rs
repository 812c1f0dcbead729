//! Arguments of `ftpfw top`.

use clap::{Args, value_parser};

use super::Place;

/// `ftpfw top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Look again every SECONDS.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 1,
        value_parser = value_parser!(u32).range(1..=3600),
    )]
    pub interval: u32,
    /// Which ftpfw.
    #[command(flatten)]
    pub place: Place,
}
