//! Arguments of `ftpfw list` and `ftpfw stats`.

use std::net::IpAddr;

use clap::{Args, ValueEnum, value_parser};

use super::QueryArgs;

/// `ftpfw list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list.
    pub what: Listing,
    /// Only this client; of flows, only with this other end.
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// Sort by a column, named as in JSON; without it, rows come as they are found.
    #[arg(short, long, value_name = "COLUMN")]
    pub sort: Option<String>,
    /// With --sort, the greatest first.
    #[arg(short, long, requires = "sort")]
    pub reverse: bool,
    /// Only the first N rows.
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
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
    /// Data connections that are established: what they are for, how much, how fast.
    Transfers,
    /// Connections and datagrams that no socket of this host answers for: containers', and UDP.
    Flows,
    /// Where FTP daemons listen for clients with encrypted sessions.
    Listeners,
    /// Ports that are not just closed: open, control, passive range, with tuples or listeners.
    Ports,
}

/// `ftpfw stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only the verdicts on packets of this interface.
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Option<String>,
    /// Again every SECONDS (1 without a number), with rates, until interrupted.
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = value_parser!(u32).range(1..=86_400),
    )]
    pub watch: Option<u32>,
    /// Where and how; with --watch --json, an object a line.
    #[command(flatten)]
    pub query: QueryArgs,
}
