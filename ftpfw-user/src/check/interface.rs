//! An interface: what the programs need of it, and what would make them slow.

mod judge;

use anyhow::Context as _;

use self::judge::Facts;
use super::{Check, kernel::pins};
use crate::{
    config::{Config, FilterChoice, Interface, WantedInterface},
    kernel::{
        PinDir,
        ethtool::Ethtool,
        nic,
        others::{self, Other},
        requirements,
        xdp_features::XdpFeatures,
    },
};

/// Everything about one interface; nothing is changed about it.
pub(super) async fn check(wanted: &WantedInterface, config: &Config) -> Vec<Check> {
    let name = &wanted.name;
    let interface = match wanted.find() {
        Ok(interface) => interface,
        Err(error) => return vec![Check::problem(name, "interface", error.to_string())],
    };
    let pins = pins(config);
    match looked_at(&interface, &pins).await {
        Ok(checks) => checks,
        Err(error) => vec![Check::problem(name, "interface", format!("{error:#}"))],
    }
}

async fn looked_at(interface: &Interface, pins: &PinDir) -> anyhow::Result<Vec<Check>> {
    let name = &interface.name;
    if let Err(error) = nic::refuse_no_ethernet(interface).await {
        return Ok(vec![Check::problem(
            name,
            "interface",
            format!("{error:#}"),
        )]);
    }
    let facts = facts(interface).await?;
    let mut checks = vec![Check::ok(
        name,
        "interface",
        described(interface, pins, &facts)?,
    )];
    checks.extend(judge::all(interface, &facts));
    checks.push(other_xdp(interface, others::xdp(interface, pins).await?));
    // Who may not attach may not ask either, and has been told.
    if requirements::privileges().is_ok() {
        let tc = others::tc(interface, pins).await;
        checks.push(other_tc(
            interface,
            tc.context("cannot look for programs at TC")?,
        ));
    }
    Ok(checks)
}

async fn facts(interface: &Interface) -> anyhow::Result<Facts> {
    Ok(Facts {
        mtu: nic::mtu(interface).await?.unwrap_or(0),
        driver: nic::driver(interface).await?,
        features: XdpFeatures::of(interface.index).await?,
        ethtool: Ethtool::of(&interface.name)
            .await
            .map_err(|error| format!("{error:#}")),
        cpus: std::thread::available_parallelism().map_or(1, |number| number.get() as u32),
        costs: nic::cost_of_native(interface).await?,
    })
}

fn described(interface: &Interface, pins: &PinDir, facts: &Facts) -> anyhow::Result<String> {
    let driver = facts.driver.as_deref().unwrap_or("of an unknown driver");
    let protected = match others::is_protected(interface, pins).unwrap_or(false) {
        true => ", protected by ftpfw already",
        false => "",
    };
    Ok(format!("{driver}{protected}"))
}

fn other_xdp(interface: &Interface, other: Option<Other>) -> Check {
    const CHECK: &str = "other-xdp";
    let name = &interface.name;
    let Some(other) = other else {
        return Check::ok(name, CHECK, "no program of anybody else's");
    };
    let message = format!("another program is attached: {other}");
    if interface.mode == FilterChoice::Tc {
        return Check::warning(name, CHECK, message)
            .remedy("it stays, and decides before ftpfw what gets in");
    }
    Check::problem(name, CHECK, message).remedy(format!(
        "remove it first, `ip link set dev {name} xdp off`, or protect {name}:tc"
    ))
}

fn other_tc(interface: &Interface, others: Vec<Other>) -> Check {
    const CHECK: &str = "other-tc";
    let name = &interface.name;
    if others.is_empty() {
        return Check::ok(name, CHECK, "no program of anybody else's");
    }
    let listed: Vec<_> = others.iter().map(ToString::to_string).collect();
    let message = format!(
        "programs of others stay where they are: {}",
        listed.join(", ")
    );
    Check::warning(name, CHECK, message)
        .remedy("one that redirects or ends the chain before ftpfw keeps packets from it")
}
