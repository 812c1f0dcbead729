//! Arguments of `ftpfw events`.

use std::{net::IpAddr, time::Duration};

use clap::Args;
use jiff::{Span, SpanRelativeTo};

use super::QueryArgs;

/// `ftpfw events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on, until interrupted or the agent ends.
    #[arg(short, long)]
    pub follow: bool,
    /// Only what happened within this time: 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub since: Option<Duration>,
    /// Only this client.
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// Of what has happened already, only the last N.
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
    /// Where and how; with --json, an object a line.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// A time with its unit: `30s`, `5m`, `1h30m`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "a number with a unit is needed, such as 30s, 5m, 2h or 1d";
    let span: Span = text.parse().map_err(|_| WANTED)?;
    let age = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| WANTED)?;
    Duration::try_from(age).map_err(|_| WANTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("5 min", 300),
            ("1h30m", 5400),
            ("1d", 86_400),
        ] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "-5m", "5m ago", "1 month", "yesterday"] {
            assert!(age(text).is_err(), "{text}: {:?}", age(text));
        }
    }
}
