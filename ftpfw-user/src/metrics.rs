//! What is counted and held, in Prometheus' text format. docs/metrics.md has every name.
//!
//! Everything is read from the maps when it is asked for: nothing is counted twice, and counters live as
//! long as the maps do, longer than an agent.

use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use ftpfw_common::{
    abi::{maps, policy::Settings},
    reason::{Counter as Counted, Loss, Negotiation, Nic, Reason, Refusal},
};
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

pub use prometheus_text::CONTENT_TYPE;

use crate::{
    kernel::{Counters, Maps, PinDir},
    query::{
        self,
        model::{AgentRow, Status},
    },
};

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// Everything, as it is now.
///
/// # Errors
///
/// Those of the maps and of the pin directory.
pub fn text(maps: &Maps, pins: &PinDir, agent: AgentRow) -> anyhow::Result<String> {
    let counters = maps.counters()?;
    let status = query::summary(maps, pins, Some(agent))?;
    let mut registry = Registry::with_prefix("ftpfw");
    verdicts(&mut registry, &counters, &nics(maps, pins)?);
    follower(&mut registry, &counters);
    held(&mut registry, &status);
    limits(&mut registry, maps)?;
    if let Some(agent) = &status.agent {
        about(&mut registry, &status, agent);
    }
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).context("cannot write the metrics")?;
    Ok(text)
}

/// The protected interfaces and which counters are theirs. First, without a name, those that are
/// protected no more: what they counted stays in the sums.
fn nics(maps: &Maps, pins: &PinDir) -> anyhow::Result<Vec<(String, Nic)>> {
    let nics = maps.nics()?;
    let mut all = vec![(String::new(), Nic(0))];
    for pinned in pins.interfaces()? {
        let nic = nics.of(pinned.index)?;
        if nic != Nic(0) {
            all.push((pinned.name, nic));
        }
    }
    Ok(all)
}

fn verdicts(registry: &mut Registry, counters: &Counters, nics: &[(String, Nic)]) {
    let (packets, would_drop) = (Counts::default(), Counts::default());
    for (interface, nic) in nics {
        for reason in Reason::ALL {
            let of = |counter| counters.of(counter, *nic);
            let verdict = if reason.is_pass() { "pass" } else { "drop" };
            let labels = |more: &[(&'static str, &str)]| -> Labels {
                let more = more
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned()));
                let own = [
                    ("interface", interface.clone()),
                    ("reason", reason.name().to_owned()),
                ];
                own.into_iter().chain(more).collect()
            };
            let counter = packets.get_or_create_owned(&labels(&[("verdict", verdict)]));
            counter.inc_by(of(Counted::Verdict(*reason)));
            if !reason.is_pass() {
                let counter = would_drop.get_or_create_owned(&labels(&[]));
                counter.inc_by(of(Counted::WouldDrop(*reason)));
            }
        }
    }
    registry.register("packets", "Packets that the filter judged", packets);
    let help = "Packets that only --dry-run let through";
    registry.register("would_drop_packets", help, would_drop);
}

fn follower(registry: &mut Registry, counters: &Counters) {
    let by = |label: &'static str, counted: Vec<(&'static str, Counted)>| {
        let family = Counts::default();
        for (name, counter) in counted {
            let labels = vec![(label, name.to_owned())];
            family
                .get_or_create_owned(&labels)
                .inc_by(counters.get(counter));
        }
        family
    };
    let negotiations = Negotiation::ALL
        .iter()
        .map(|it| (it.name(), Counted::Armed(*it)));
    let refused = Refusal::ALL
        .iter()
        .map(|it| (it.name(), Counted::Refused(*it)));
    let losses = Loss::ALL.iter().map(|it| (it.name(), Counted::Lost(*it)));
    registry.register(
        "negotiations",
        "Negotiations that armed a tuple",
        by("kind", negotiations.collect()),
    );
    registry.register(
        "negotiations_refused",
        "Negotiations that armed nothing",
        by("reason", refused.collect()),
    );
    registry.register(
        "follower_losses",
        "What the followers of control connections lost, or skipped",
        by("kind", losses.collect()),
    );
}

/// How many there are of what takes room.
fn held(registry: &mut Registry, status: &Status) {
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    gauge(
        registry,
        "sessions",
        "Control connections that are followed",
        number(status.sessions),
    );
    gauge(
        registry,
        "listeners",
        "Listeners of FTP daemons for clients with encrypted sessions",
        number(status.listeners),
    );
    gauge(
        registry,
        "flows",
        "Flows of containers and of UDP that are remembered",
        number(status.flows),
    );
    let tuples = Gauges::default();
    for (state, count) in [("armed", status.armed), ("claimed", status.claimed)] {
        let labels = vec![("state", state.to_owned())];
        tuples.get_or_create_owned(&labels).set(number(count));
    }
    let help = "Data connections that are allowed (armed) or established (claimed)";
    registry.register("tuples", help, tuples);
}

fn limits(registry: &mut Registry, maps: &Maps) -> anyhow::Result<()> {
    let settings: Settings = maps.settings()?.get(&0, 0)?.0;
    let size = |name| maps.size(name).map(i64::from);
    for (name, help, limit) in [
        (
            "sessions_limit",
            "Sessions that there is room for",
            size(maps::SESSIONS)?,
        ),
        (
            "tuples_limit",
            "Tuples of each state that there is room for",
            size(maps::ARMED)?,
        ),
        (
            "listeners_limit",
            "Listeners that there is room for",
            size(maps::LISTENERS)?,
        ),
        (
            "flows_limit",
            "Flows that there is room for",
            size(maps::FLOWS)?,
        ),
        (
            "client_sessions_limit",
            "Sessions that one client may have",
            settings.sessions_per_client.into(),
        ),
        (
            "client_tuples_limit",
            "Armed tuples that one client may have",
            settings.tuples_per_client.into(),
        ),
    ] {
        gauge(registry, name, help, limit);
    }
    Ok(())
}

/// Which ftpfw this is, and how its agent does.
fn about(registry: &mut Registry, status: &Status, agent: &AgentRow) {
    let version = Info::new(vec![("version", agent.version.clone())]);
    registry.register("build", "Version of the agent", version);
    let uptime = Gauge::<f64, AtomicU64>::default();
    uptime.set(agent.uptime_ms as f64 / 1000.0);
    registry.register_with_unit(
        "agent_uptime",
        "Since the agent began",
        Unit::Seconds,
        uptime,
    );
    let interfaces = Gauges::default();
    for row in &status.interfaces {
        let labels = vec![("interface", row.name.clone()), ("mode", row.mode.clone())];
        interfaces.get_or_create_owned(&labels).set(1);
    }
    let help = "Protected interfaces and where their filter runs; 1 each";
    registry.register("protected_interface", help, interfaces);
    let help = "1 if everything is decided and nothing dropped";
    gauge(registry, "dry_run", help, agent.dry_run.into());
    for (name, help, number) in [
        (
            "agent_disagreements",
            "Different conclusions of kernel and agent from the same bytes",
            agent.disagreements,
        ),
        (
            "agent_contradictions",
            "Control bytes that a client sent again, and others",
            agent.contradictions,
        ),
        (
            "agent_log_lines_left_out",
            "Events that the log had no room for",
            agent.log_left_out,
        ),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(number);
        registry.register(name, help, counter);
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}
