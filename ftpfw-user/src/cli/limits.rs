//! Arguments of `ftpfw run` that bound what others can make it hold.

use clap::{Args, value_parser};

/// The most that a map is made with: a million entries of the largest take half a gigabyte.
const MOST: i64 = 1 << 20;

/// `--max-…`.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Control connections that are followed [default: 65536].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_sessions: Option<u32>,
    /// The same for one client: an IPv4 address, or an IPv6 network of 64 bits [default: a quarter of
    /// --max-sessions].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_sessions_per_client: Option<u32>,
    /// Data connections that are allowed and not made yet, and as many that are made [default: 65536].
    /// A session has one of the former.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_tuples: Option<u32>,
    /// Data connections of one client that are allowed and not made yet [default: a quarter of
    /// --max-tuples].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_tuples_per_client: Option<u32>,
    /// Flows of containers and of UDP that are remembered [default: 65536].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_flows: Option<u32>,
    /// Lines a second that events write to the log; `ftpfw events` has them all [default: 1000].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=MOST))]
    pub max_log_lines: Option<u32>,
}
