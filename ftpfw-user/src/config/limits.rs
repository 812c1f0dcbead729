//! How much others can make ftpfw hold.

use crate::{cli::LimitArgs, kernel::MapSizes};

/// Every limit that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the maps.
    pub sizes: MapSizes,
    /// Sessions of one client.
    pub sessions_per_client: u32,
    /// Armed tuples of one client.
    pub tuples_per_client: u32,
    /// Lines a second.
    pub log_lines: u32,
}

/// What one client may have of what all may have, unless it is said.
const SHARE: u32 = 4;
const LOG_LINES: u32 = 1000;

impl Default for Limits {
    fn default() -> Self {
        LimitArgs::default().into()
    }
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let default = MapSizes::default();
        let sizes = MapSizes {
            sessions: args.max_sessions.unwrap_or(default.sessions),
            tuples: args.max_tuples.unwrap_or(default.tuples),
            flows: args.max_flows.unwrap_or(default.flows),
        };
        let share = |all: u32| (all / SHARE).max(1);
        Self {
            sizes,
            sessions_per_client: args
                .max_sessions_per_client
                .unwrap_or(share(sizes.sessions)),
            tuples_per_client: args.max_tuples_per_client.unwrap_or(share(sizes.tuples)),
            log_lines: args.max_log_lines.unwrap_or(LOG_LINES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_may_have_a_quarter_unless_it_is_said() {
        let limits = Limits::from(LimitArgs {
            max_sessions: Some(100),
            max_tuples: Some(2),
            max_tuples_per_client: Some(2),
            ..LimitArgs::default()
        });
        assert_eq!(limits.sizes.sessions, 100);
        assert_eq!(limits.sessions_per_client, 25);
        assert_eq!(limits.tuples_per_client, 2);
        assert_eq!(limits.sizes.flows, MapSizes::default().flows);
    }
}
