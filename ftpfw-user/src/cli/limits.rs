//! Arguments of `ftpfw run` that bound what others can make it hold.

use clap::Args;

/// The most that a map is made with: a million entries of the largest take half a gigabyte.
const MOST: i64 = 1 << 20;

/// Reads a limit, in the file as on the command line.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    let count = count.and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| format!("{text} is no number from 1 to {MOST}"))
}

/// `--max-…`.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Limits (from 1 to 1048576)")]
pub struct LimitArgs {
    /// Control connections that are followed [default: 65536].
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_sessions: Option<u32>,
    /// The same for one client: an IPv4 address, or an IPv6 network of 64 bits [default: a quarter of
    /// --max-sessions].
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_sessions_per_client: Option<u32>,
    /// Data connections that are allowed and not made yet, and as many that are made [default: 65536].
    /// A session has one of the former.
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_tuples: Option<u32>,
    /// Data connections of one client that are allowed and not made yet [default: a quarter of
    /// --max-tuples].
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_tuples_per_client: Option<u32>,
    /// Flows of containers and of UDP that are remembered [default: 65536].
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_flows: Option<u32>,
    /// Lines a second that events of clients write to the log; `ftpfw events` has the others too
    /// [default: 1000].
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_log_lines: Option<u32>,
}

impl LimitArgs {
    /// These, and those of `other` where nothing is said.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            max_sessions: self.max_sessions.or(other.max_sessions),
            max_sessions_per_client: self
                .max_sessions_per_client
                .or(other.max_sessions_per_client),
            max_tuples: self.max_tuples.or(other.max_tuples),
            max_tuples_per_client: self.max_tuples_per_client.or(other.max_tuples_per_client),
            max_flows: self.max_flows.or(other.max_flows),
            max_log_lines: self.max_log_lines.or(other.max_log_lines),
        }
    }
}
