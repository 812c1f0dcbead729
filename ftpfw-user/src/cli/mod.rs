//! The command line as it was typed: raw arguments, nothing checked against the machine yet.
//!
//! [`crate::config`] turns the arguments of `run` into a resolved configuration.

mod events;
mod replay;
mod run;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use events::EventsArgs;
pub use replay::ReplayArgs;
pub use run::{FtpsArg, ModeArg, OpenerArg, RunArgs, UdpArg};

/// Where everything is pinned unless `--pin-dir` says otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/ftpfw";
/// Where the agent answers unless `--socket` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/ftpfw/agent.sock";

/// An FTP-aware firewall at the NIC.
#[derive(Debug, Parser)]
#[command(name = "ftpfw", version, about, max_term_width = 100)]
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
    /// The same filter and engine over a capture; reads only, needs no privilege.
    Replay(ReplayArgs),
    /// Remove everything that ftpfw put into the kernel.
    Detach(DetachArgs),
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

/// `ftpfw stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only the verdicts on packets of this interface.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Option<String>,
    /// Where and how.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `ftpfw list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list.
    pub what: Listing,
    /// Only this client.
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// Where and how.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// What `ftpfw list` can list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Data connections that are allowed or established.
    Tuples,
    /// Control connections.
    Sessions,
    /// Where FTP daemons listen for clients with encrypted sessions.
    Listeners,
}

/// `ftpfw detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Only this interface; without it everything, maps included, and an agent that runs is ended.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Option<String>,
    /// Which ftpfw.
    #[command(flatten)]
    pub place: Place,
}
