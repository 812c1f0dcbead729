//! The verbs that only look: `status`, `list`, `stats`, `events`, `explain`.
//!
//! They read the pinned maps themselves, so they work while no agent runs; what only an agent
//! knows (users, commands, what happened) is asked of it.

pub mod client;
mod events;
mod explain;
pub mod journal;
mod key;
mod list;
pub mod model;
pub mod output;
mod ports;
pub mod read;
mod row;
mod stats;
mod status;
mod table;
pub mod transfers;
pub mod units;

use std::io::Write as _;

use anyhow::bail;
use serde::Serialize;

use crate::{
    cli::Place,
    kernel::{Maps, PinDir, requirements},
};
pub use events::events;
pub use explain::explain;
pub use list::list;
use output::Output;
pub use stats::stats;
pub(crate) use status::policy;
pub use status::{status, summary};

/// The pinned maps of an ftpfw.
///
/// # Errors
///
/// When this process may not look at them, or nothing is pinned.
pub(crate) fn open(place: &Place) -> anyhow::Result<(Maps, PinDir)> {
    let pins = PinDir::new(place.pin_dir.clone());
    requirements::privileges()?;
    if !pins.in_use() {
        bail!(
            "not attached: nothing is pinned under {}; `ftpfw run` attaches",
            place.pin_dir.display()
        );
    }
    Ok((Maps::open(&pins)?, pins))
}

/// Prints JSON or a table.
pub(crate) fn show<T: Serialize + ?Sized>(
    value: &T,
    json: bool,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(value)?
    } else {
        table(value)
    };
    Output::write(|output| Ok(writeln!(output, "{text}")?))
}
