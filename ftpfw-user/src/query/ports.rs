//! Ports that are not just closed: what `ftpfw list ports` shows.

use ftpfw_common::abi::{policy::port, values::PortEntry};

use super::model::PortRow;
use crate::kernel::ports::Ports;

/// What makes a port worth a line.
const REMARKABLE: u32 = port::OPEN_TCP
    | port::OPEN_UDP
    | port::CONTROL
    | port::IMPLICIT_TLS
    | port::FOREIGN
    | port::PASSIVE_RANGE;

/// The ports that are worth a line, from the lowest on. Neighbours without tuples and listeners and
/// with the same policy are one row.
pub fn rows(ports: &Ports) -> impl Iterator<Item = PortRow> + '_ {
    fold((1..=u16::MAX).map(|number| (number, ports.get(number))))
}

fn fold(entries: impl Iterator<Item = (u16, PortEntry)>) -> impl Iterator<Item = PortRow> {
    let mut entries = entries
        .filter(|(_, entry)| is_remarkable(*entry))
        .peekable();
    std::iter::from_fn(move || {
        let (first, entry) = entries.next()?;
        let mut last = first;
        while entry.is_idle()
            && let Some((next, _)) = entries
                .next_if(|(number, other)| Some(*number) == last.checked_add(1) && *other == entry)
        {
            last = next;
        }
        Some(row(first, last, entry))
    })
}

const fn is_remarkable(entry: PortEntry) -> bool {
    !entry.is_idle() || entry.policy() & REMARKABLE != 0
}

fn row(first: u16, last: u16, entry: PortEntry) -> PortRow {
    let has = |bit: u32| entry.policy() & bit != 0;
    let state = |protected: u32, open: u32| match (has(protected), has(open)) {
        (false, _) => "unprotected".to_owned(),
        (true, false) => "closed".to_owned(),
        (true, true) => "open".to_owned(),
    };
    PortRow {
        first,
        last,
        tcp: state(port::PROTECTED_TCP, port::OPEN_TCP),
        udp: state(port::PROTECTED_UDP, port::OPEN_UDP),
        control: has(port::CONTROL),
        implicit_tls: has(port::IMPLICIT_TLS),
        passive_range: has(port::PASSIVE_RANGE),
        foreign: has(port::FOREIGN),
        armed: entry.armed(),
        listeners: entry.listeners(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PortPolicy;

    fn folded(change: impl Fn(&mut Vec<PortEntry>)) -> Vec<(u16, u16)> {
        let policy = PortPolicy {
            open: vec!["8080/tcp".parse().unwrap(), "9000-9010".parse().unwrap()],
            passive: vec!["65000-65535".parse().unwrap()],
            ..PortPolicy::default()
        };
        let mut entries: Vec<_> = policy
            .table()
            .into_iter()
            .map(|bits| PortEntry::new(0, bits))
            .collect();
        change(&mut entries);
        let numbered = (1..=u16::MAX).map(|number| (number, entries[usize::from(number)]));
        fold(numbered).map(|row| (row.first, row.last)).collect()
    }

    #[test]
    fn ranges_are_one_row_and_closed_ports_none() {
        let rows = folded(|_| {});
        let control = [(21, 21), (990, 990)];
        let open = [(8080, 8080), (9000, 9010)];
        assert_eq!(rows, [&control[..], &open, &[(65_000, 65_535)]].concat());
    }

    #[test]
    fn a_port_with_tuples_has_a_row_of_its_own() {
        let rows = folded(|entries| {
            for port in [9005, 50_000, 50_001, 65_535] {
                entries[port].0 += PortEntry::ONE_ARMED;
            }
        });
        let range = [(9000, 9004), (9005, 9005), (9006, 9010)];
        let tuples = [(50_000, 50_000), (50_001, 50_001)];
        let passive = [(65_000, 65_534), (65_535, 65_535)];
        assert_eq!(rows[3..], [&range[..], &tuples, &passive].concat());
    }
}
