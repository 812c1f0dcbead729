//! What `ftpfw stats` answers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::InterfaceRow;

/// What was counted since the maps were made, on all interfaces or (verdicts) on one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Where.
    pub interfaces: Vec<InterfaceRow>,
    /// Packets that went through, by reason.
    pub pass: BTreeMap<&'static str, u64>,
    /// Packets that did not, by reason.
    pub drop: BTreeMap<&'static str, u64>,
    /// Packets that only `--dry-run` let through, by the reason to drop them; what is 0 is left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub would_drop: BTreeMap<&'static str, u64>,
    /// Negotiations that armed a tuple, by kind.
    pub negotiations: BTreeMap<&'static str, u64>,
    /// Negotiations that armed none, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Records that the ring buffer had no room for.
    pub events_lost: u64,
    /// What else happened to the followers, by kind; for people.
    #[serde(skip)]
    pub losses: BTreeMap<&'static str, u64>,
}

/// Numbers by name.
type Numbers = BTreeMap<&'static str, u64>;

impl Stats {
    /// What is counted, in groups with a title for people.
    #[must_use]
    pub const fn groups(&self) -> [(&'static str, &Numbers); 6] {
        [
            ("passed", &self.pass),
            ("dropped", &self.drop),
            ("would drop", &self.would_drop),
            ("armed", &self.negotiations),
            ("refused", &self.refused),
            ("follower", &self.losses),
        ]
    }

    /// How often a second each was counted between `before` and now, `elapsed_ms` later.
    #[must_use]
    pub fn rates(&self, before: &Self, elapsed_ms: u64) -> Self {
        let rate = |now: u64, before: u64| {
            let difference = now.saturating_sub(before).saturating_mul(1000);
            difference.div_ceil(elapsed_ms.max(1))
        };
        let rates = |now: &Numbers, before: &Numbers| {
            let before = |name| before.get(name).copied().unwrap_or(0);
            now.iter()
                .map(|(name, number)| (*name, rate(*number, before(name))))
                .collect()
        };
        let interface = |row: &InterfaceRow| {
            let earlier = before.interfaces.iter().find(|it| it.name == row.name);
            let (passed, dropped) = earlier.map_or((0, 0), |it| (it.passed, it.dropped));
            InterfaceRow {
                passed: rate(row.passed, passed),
                dropped: rate(row.dropped, dropped),
                ..row.clone()
            }
        };
        Self {
            interfaces: self.interfaces.iter().map(interface).collect(),
            pass: rates(&self.pass, &before.pass),
            drop: rates(&self.drop, &before.drop),
            would_drop: rates(&self.would_drop, &before.would_drop),
            negotiations: rates(&self.negotiations, &before.negotiations),
            refused: rates(&self.refused, &before.refused),
            events_lost: rate(self.events_lost, before.events_lost),
            losses: rates(&self.losses, &before.losses),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Rounded up: what happened at all is no 0.
    #[test]
    fn rates_are_per_second_and_by_name() {
        let of = |socket, drops| Stats {
            interfaces: Vec::new(),
            pass: BTreeMap::from([("socket", socket)]),
            drop: BTreeMap::from([("not-armed", drops)]),
            would_drop: BTreeMap::new(),
            negotiations: BTreeMap::new(),
            refused: BTreeMap::new(),
            events_lost: 0,
            losses: BTreeMap::new(),
        };
        let rates = of(1500, 8).rates(&of(500, 7), 2000);
        assert_eq!((rates.pass["socket"], rates.drop["not-armed"]), (500, 1));
        let still = of(1500, 8).rates(&of(1500, 8), 0);
        assert_eq!((still.pass["socket"], still.drop["not-armed"]), (0, 0));
    }

    #[test]
    fn stats_have_the_names_of_the_design_and_no_others() {
        let stats = Stats {
            interfaces: vec![InterfaceRow {
                name: "eth0".to_owned(),
                mode: "native".to_owned(),
                passed: 7,
                dropped: 2,
            }],
            pass: BTreeMap::from([("socket", 7)]),
            drop: BTreeMap::from([("not-armed", 2)]),
            would_drop: BTreeMap::new(),
            negotiations: BTreeMap::from([("pasv", 1)]),
            refused: BTreeMap::from([("bounce", 0)]),
            events_lost: 0,
            losses: BTreeMap::from([("gap", 1)]),
        };
        let expected: Value = json!({
            "interfaces": [{"name": "eth0", "mode": "native", "passed": 7, "dropped": 2}],
            "pass": {"socket": 7}, "drop": {"not-armed": 2}, "negotiations": {"pasv": 1},
            "refused": {"bounce": 0}, "events_lost": 0,
        });
        assert_eq!(serde_json::to_value(&stats).unwrap(), expected);
    }
}
