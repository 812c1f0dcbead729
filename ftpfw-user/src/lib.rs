//! Loads, attaches, follows and queries the firewall ftpfw.
//!
//! * [`cli`]: arguments as typed; [`config`]: what they come to;
//! * [`kernel`]: programs, maps and links, and how they get into the kernel and out of it;
//! * [`agent`]: the events of the programs → sessions, log lines, tuples, answers;
//! * [`query`]: what the maps and the agent know, as tables and JSON; [`metrics`]: for Prometheus;
//! * [`mod@top`]: the same, live on a terminal;
//! * [`mod@replay`]: the same filter and engine over a capture file;
//! * [`mod@check`]: would it work;
//! * [`mod@run`], [`mod@detach`] and [`manual`]: the verbs that change something;
//! * [`privileges`] and [`service`]: what the agent gives up, and whom it tells how it is;
//! * [`documents`]: what packagers need.

pub mod agent;
pub mod check;
pub mod cli;
pub mod config;
pub mod detach;
pub mod documents;
pub mod kernel;
pub mod listeners;
pub mod logging;
pub mod manual;
pub mod metrics;
pub mod privileges;
pub mod query;
pub mod replay;
pub mod run;
pub mod service;
pub mod top;

use std::process::ExitCode;

use cli::Command;

/// What must be done while there is only one thread. To be called before [`execute`].
///
/// # Errors
///
/// As [`execute`].
pub fn prepare(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run::prepare(args),
        _ => Ok(()),
    }
}

/// Does what the command line asks for. The code is that of an answer: a "no" is 1.
///
/// # Errors
///
/// One sentence for the user; [`config::UsageError`] where the mistake is in the arguments.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(*args).await,
        Command::Status(args) => query::status(&args).await,
        Command::List(args) => query::list(&args).await,
        Command::Stats(args) => query::stats(&args).await,
        Command::Events(args) => query::events(&args).await,
        Command::Top(args) => top::top(&args).await,
        Command::Explain(args) => return query::explain(&args).await,
        Command::Allow(args) => manual::allow(&args).await,
        Command::Revoke(args) => manual::revoke(&args).await,
        Command::Check(args) => check::check(&args).await,
        Command::Replay(args) => replay::replay(&args),
        Command::Detach(args) => detach::detach(&args).await,
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}
