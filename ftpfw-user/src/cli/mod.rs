//! The command line as it was typed: raw arguments, nothing checked against the machine yet.
//!
//! [`crate::config`] turns the arguments of `run` into a resolved configuration.

mod check;
mod documents;
mod events;
mod limits;
mod list;
#[cfg(test)]
mod pages;
mod replay;
mod run;
mod top;
mod tuple;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use check::CheckArgs;
pub use documents::{CompletionsArgs, ManArgs};
pub use events::EventsArgs;
pub(crate) use events::age;
pub use limits::LimitArgs;
pub(crate) use limits::count;
pub use list::{ListArgs, Listing, StatsArgs};
pub use replay::ReplayArgs;
pub use run::{FtpsArg, ModeArg, OpenerArg, RunArgs, UdpArg};
pub use top::TopArgs;
pub use tuple::{AllowArgs, Ends, ExplainArgs, RevokeArgs};

/// Where everything is pinned unless `--pin-dir` says otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/ftpfw";
/// Where the agent answers unless `--socket` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/ftpfw/agent.sock";

/// What the manual page has beyond the arguments.
const MORE: &str = "\
Exit status: 0 done; 1 failed, or the answer is no (explain, check); 2 wrong usage.

Files: /etc/ftpfw.toml, the configuration of the service (run --config); /sys/fs/bpf/ftpfw, maps and links \
(--pin-dir); /run/ftpfw/agent.sock, where the agent answers (--socket).";

/// An FTP-aware firewall at the NIC.
#[derive(Debug, Parser)]
#[command(
    name = "ftpfw",
    version,
    about = "An FTP-aware firewall at the NIC",
    after_long_help = MORE,
    max_term_width = 100
)]
pub struct Cli {
    /// Say more; twice, everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Protect interfaces until stopped: load, attach, follow, answer.
    Run(Box<RunArgs>),
    /// Interfaces, modes, agent, uptime, totals.
    Status(QueryArgs),
    /// List what is in the maps.
    List(ListArgs),
    /// Verdicts by reason, negotiations, losses.
    Stats(StatsArgs),
    /// What happened, a line (or a JSON object) each: negotiations, transfers, refusals with their line.
    Events(EventsArgs),
    /// Sessions, transfers, tuples and drops, live on the whole screen.
    Top(TopArgs),
    /// Whether a client's SYN would be let in now, and why; exit code 1 if it would not.
    Explain(ExplainArgs),
    /// Let one connection of a client's in, as if it had been negotiated.
    Allow(AllowArgs),
    /// Withdraw what is allowed and not used yet.
    Revoke(RevokeArgs),
    /// Whether it would work: kernel, interfaces, FTP daemons, a configuration file; changes nothing,
    /// exit code 1 if something is in the way.
    Check(CheckArgs),
    /// The same filter and engine over a capture; reads only, needs no privilege.
    Replay(ReplayArgs),
    /// Remove everything that ftpfw put into the kernel.
    Detach(DetachArgs),
    /// Print a shell's completions.
    Completions(CompletionsArgs),
    /// Print the manual page.
    Man(ManArgs),
}

/// Which ftpfw is meant, where several live side by side.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Directory on a bpffs where maps and links are pinned.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR)]
    pub pin_dir: PathBuf,
    /// Unix socket of the agent.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// What every query takes.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Which ftpfw.
    #[command(flatten)]
    pub place: Place,
    /// JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// `ftpfw detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Only this interface; without it everything, maps included, and an agent that runs is ended.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Option<String>,
    /// Configuration file whose `pin_dir` and `socket` say which ftpfw.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pin_dir", "socket"])]
    pub config: Option<PathBuf>,
    /// Which ftpfw.
    #[command(flatten)]
    pub place: Place,
}
