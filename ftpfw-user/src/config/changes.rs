//! A configuration in words, and what is different in another one.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use ftpfw_common::abi::policy::ftps;
use jiff::{
    SignedDuration,
    fmt::friendly::{Designator, SpanPrinter},
};
use serde::Serialize;

use super::Config;

/// A value of a key, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Some, or none.
    List(Vec<String>),
    /// A word, a path, a time.
    Text(String),
    /// Yes or no.
    Switch(bool),
    /// How many.
    Count(u32),
}

impl Value {
    fn list<T: fmt::Display>(values: &[T]) -> Self {
        Self::List(values.iter().map(ToString::to_string).collect())
    }

    fn path(path: &Path) -> Self {
        Self::Text(path.display().to_string())
    }

    fn paths(paths: &[PathBuf]) -> Self {
        Self::list(&paths.iter().map(|it| it.display()).collect::<Vec<_>>())
    }

    /// A time, ns, as it may be written in the file: `1h 30m`.
    fn time(ns: u64) -> Self {
        const PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact);
        let duration = SignedDuration::try_from(Duration::from_nanos(ns));
        Self::Text(duration.map_or_else(
            |_| format!("{ns} ns"),
            |duration| PRINTER.duration_to_string(&duration),
        ))
    }
}

impl From<&str> for Value {
    fn from(word: &str) -> Self {
        Self::Text(word.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(values) if values.is_empty() => f.write_str("none"),
            Self::List(values) => f.write_str(&values.join(", ")),
            Self::Text(text) => f.write_str(text),
            Self::Switch(on) => on.fmt(f),
            Self::Count(count) => count.fmt(f),
        }
    }
}

/// Keys that have changed, each with its old and its new value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences(Vec<(&'static str, Value, Value)>);

impl Differences {
    /// Whether nothing has changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing has changed");
        }
        for (number, (key, before, after)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{key}: {before} -> {after}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Every key of the configuration file, with the value that holds.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, Value)> {
        let (ports, settings, limits) = (&self.ports, &self.settings, &self.limits);
        let udp = if ports.protect_udp { "drop" } else { "pass" };
        let opener = match settings.inline_opener {
            0 => "agent",
            _ => "inline",
        };
        let ftps = match settings.ftps {
            ftps::LISTENER => "listener",
            ftps::RANGE => "range",
            _ => "deny",
        };
        let time = Value::time;
        vec![
            ("interfaces", Value::list(&self.interfaces)),
            ("control_ports", Value::list(&ports.control)),
            ("implicit_tls_ports", Value::list(&ports.implicit_tls)),
            ("protect", Value::list(&ports.protected)),
            ("open_ports", Value::list(&ports.open)),
            ("udp", udp.into()),
            ("opener", opener.into()),
            ("ftps", ftps.into()),
            ("passive_ports", Value::list(&ports.passive)),
            ("dry_run", Value::Switch(settings.dry_run != 0)),
            ("keep_attached", Value::Switch(self.keep_attached)),
            ("pin_dir", Value::path(&self.pin_dir)),
            ("socket", Value::path(&self.socket)),
            ("metrics", Value::list(self.metrics.as_slice())),
            ("transfer_log", Value::paths(self.transfer_log.as_slice())),
            ("timeouts.tuple", time(settings.tuple_lifetime)),
            ("timeouts.tcp_flow", time(settings.tcp_flow_lifetime)),
            (
                "timeouts.closing_flow",
                time(settings.closing_flow_lifetime),
            ),
            ("timeouts.udp_flow", time(settings.udp_flow_lifetime)),
            ("limits.sessions", Value::Count(limits.sizes.sessions)),
            (
                "limits.sessions_per_client",
                Value::Count(limits.sessions_per_client),
            ),
            ("limits.tuples", Value::Count(limits.sizes.tuples)),
            (
                "limits.tuples_per_client",
                Value::Count(limits.tuples_per_client),
            ),
            ("limits.flows", Value::Count(limits.sizes.flows)),
            ("limits.log_lines", Value::Count(limits.log_lines)),
        ]
    }

    /// What is done, in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let dry = if self.settings.dry_run != 0 {
            ", dropping nothing (dry run)"
        } else {
            ""
        };
        format!("protecting {}{dry}", Value::list(&self.interfaces))
    }

    /// What is different in `new`.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Differences {
        let pairs = self.entries().into_iter().zip(new.entries());
        let changed = pairs.filter(|((_, before), (_, after))| before != after);
        Differences(
            changed
                .map(|((key, before), (_, after))| (key, before, after))
                .collect(),
        )
    }

    /// Takes over from `running` what cannot change while it runs; what that was, and was asked for.
    pub fn keep_fixed(&mut self, running: &Self) -> Differences {
        let asked = self.clone();
        self.pin_dir.clone_from(&running.pin_dir);
        self.socket.clone_from(&running.socket);
        self.metrics = running.metrics;
        self.transfer_log.clone_from(&running.transfer_log);
        self.settings.inline_opener = running.settings.inline_opener;
        self.limits.sizes = running.limits.sizes;
        self.differences(&asked)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn config(arguments: &str) -> Config {
        let words = format!("ftpfw run -i lo {arguments}");
        match Cli::parse_from(words.split_whitespace()).command {
            Command::Run(args) => Config::resolve(&args).expect(arguments),
            other => panic!("not `run`: {other:?}"),
        }
    }

    #[test]
    fn what_has_changed_is_said_with_both_values() {
        let before = config("--open-port 8080/tcp");
        assert_eq!(
            before.differences(&before).to_string(),
            "nothing has changed"
        );
        let mut after = config("--dry-run");
        after.settings.tuple_lifetime = 90_000_000_000;
        assert_eq!(
            before.differences(&after).to_string(),
            "open_ports: 8080/tcp -> none; dry_run: false -> true; timeouts.tuple: 2m -> 1m 30s"
        );
    }

    #[test]
    fn what_cannot_change_stays() {
        let running = config("");
        let mut asked = config("--pin-dir /elsewhere --opener agent --udp pass");
        let kept = asked.keep_fixed(&running);
        assert_eq!(
            kept.to_string(),
            "opener: inline -> agent; pin_dir: /sys/fs/bpf/ftpfw -> /elsewhere"
        );
        let rest = running.differences(&asked);
        assert_eq!(rest.to_string(), "udp: drop -> pass");
    }
}
