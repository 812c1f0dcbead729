//! FTP daemons, what they are configured to, and who else listens.

use ftpfw_common::abi::policy::port;

use super::Check;
use crate::{
    config::{PortPolicy, PortRange, passive_range_of},
    listeners,
};

const ABOUT: &str = "host";

/// Everybody who listens in this network namespace, and matters.
pub(super) fn check(policy: &PortPolicy) -> Vec<Check> {
    let mut checks = daemons(policy);
    checks.extend(cut_off(policy));
    checks
}

fn daemons(policy: &PortPolicy) -> Vec<Check> {
    let ports = [&policy.control[..], &policy.implicit_tls].concat();
    let found = listeners::on_ports(&ports);
    if found.is_empty() {
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let message = format!("nobody listens here on {}", ports.join(" or "));
        return vec![Check::warning(ABOUT, "daemons", message).remedy(
            "that is right if the daemon is in a container or starts later; \
             if it has another port, `--control-port PORT`",
        )];
    }
    let mut checks = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (address, process) in found {
        let who = match &process {
            Some((name, pid)) => format!("{name} (pid {pid})"),
            None => "an unknown process".to_owned(),
        };
        checks.push(Check::ok(
            ABOUT,
            "daemons",
            format!("{who} listens on {address}"),
        ));
        names.extend(process.map(|(name, _)| name));
    }
    names.sort_unstable();
    names.dedup();
    let table = policy.table();
    checks.extend(names.iter().map(|name| passive(name, &table)));
    checks
}

/// Whether the filter stands before the passive ports of a daemon.
fn passive(daemon: &str, policy: &[u32]) -> Check {
    const CHECK: &str = "passive-ports";
    let Some((file, range)) = passive_range_of(daemon) else {
        let message = format!("no range of {daemon}'s is known, and ftpfw needs none");
        return Check::ok(ABOUT, CHECK, message);
    };
    match exposed(range, policy) {
        None => {
            let message = format!("{daemon} has {range} ({file}), all of it closed unless allowed");
            Check::ok(ABOUT, CHECK, message)
        }
        Some(open) => {
            let message =
                format!("{daemon} has {range} ({file}), of which {open} is open to everybody");
            Check::warning(ABOUT, CHECK, message)
                .remedy(format!("protect it, or change the range in {file}"))
        }
    }
}

/// The first port of a range that anybody may reach.
fn exposed(range: PortRange, policy: &[u32]) -> Option<u16> {
    (range.first..=range.last).find(|number| {
        let bits = policy.get(usize::from(*number)).copied().unwrap_or(0);
        bits & port::PROTECTED_TCP == 0 || bits & port::OPEN_TCP != 0
    })
}

fn cut_off(policy: &PortPolicy) -> Vec<Check> {
    let found = listeners::cut_off(&policy.table());
    if found.is_empty() {
        let message = "nobody listens on a port that ftpfw closes";
        return vec![Check::ok(ABOUT, "listeners", message)];
    }
    found
        .into_iter()
        // The sentence ends with what to do.
        .map(|socket| Check::warning(ABOUT, "listeners", socket.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passive_range_is_closed_or_not() {
        let table = |text: &str| {
            let policy = PortPolicy {
                open: text
                    .split_whitespace()
                    .map(|it| it.parse().unwrap())
                    .collect(),
                ..PortPolicy::default()
            };
            policy.table()
        };
        let range = |text: &str| text.parse::<PortRange>().unwrap();
        assert_eq!(exposed(range("50000-50100"), &table("")), None);
        assert_eq!(exposed(range("1000-1100"), &table("")), Some(1000));
        let open = table("50050/tcp 50001/udp");
        assert_eq!(exposed(range("50000-50100"), &open), Some(50_050));
    }
}
