//! Loads, attaches, follows and queries the firewall ftpfw.
//!
//! * [`cli`]: arguments as typed; [`config`]: what they come to;
//! * [`kernel`]: programs, maps and links, and how they get into the kernel and out of it;
//! * [`agent`]: the events of the programs → sessions, log lines, tuples, answers;
//! * [`query`]: what the maps and the agent know, as tables and JSON;
//! * [`mod@replay`]: the same filter and engine over a capture file;
//! * [`mod@run`] and [`mod@detach`]: the two verbs that change something.

pub mod agent;
pub mod cli;
pub mod config;
pub mod detach;
pub mod kernel;
pub mod listeners;
pub mod logging;
pub mod query;
pub mod replay;
pub mod run;

use cli::Command;

/// Does what the command line asks for.
///
/// # Errors
///
/// One sentence for the user; [`config::UsageError`] where the mistake is in the arguments.
pub async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::run(*args).await,
        Command::Status(args) => query::status(&args).await,
        Command::List(args) => query::list(&args).await,
        Command::Stats(args) => query::stats(&args),
        Command::Events(args) => query::events(&args).await,
        Command::Replay(args) => replay::replay(&args),
        Command::Detach(args) => detach::detach(&args).await,
    }
}
