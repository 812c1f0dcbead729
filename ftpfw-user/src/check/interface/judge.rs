//! What the facts about an interface come to.

use super::Check;
use crate::{
    config::{FilterChoice, Interface},
    kernel::{ethtool::Ethtool, xdp_features::XdpFeatures},
};

/// Bytes of payload that fit into a page of 4096 with what XDP puts around a frame of one buffer: 256
/// bytes before it, `struct skb_shared_info` behind it, Ethernet and one tag (virtio_net and mlx5 have
/// about this limit; that of some drivers, i40e and ixgbe, is near 3000).
const ONE_PAGE: u32 = 3498;

/// What is known of an interface.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub mtu: u32,
    pub driver: Option<String>,
    /// `None`: the kernel does not tell (before 6.3).
    pub features: Option<XdpFeatures>,
    /// Or why it could not be asked.
    pub ethtool: Result<Ethtool, String>,
    pub cpus: u32,
    /// What native XDP costs here.
    pub costs: Option<&'static str>,
}

/// All that can be said.
pub(super) fn all(interface: &Interface, facts: &Facts) -> Vec<Check> {
    let mut checks = vec![xdp(interface, facts), mtu(interface, facts)];
    match &facts.ethtool {
        Ok(ethtool) => checks.extend([
            lro(interface, ethtool),
            channels(interface, ethtool, facts.cpus),
            rx_vlan(interface, ethtool),
        ]),
        Err(error) => {
            let message = format!("offloads and channels could not be looked at: {error}");
            checks.push(Check::warning(&interface.name, "ethtool", message));
        }
    }
    checks
}

/// Whether the filter can only run in the driver, may run there, or does not.
const fn native(interface: &Interface) -> Native {
    match interface.mode {
        FilterChoice::Native => Native::Only,
        FilterChoice::Auto => Native::IfPossible,
        FilterChoice::Generic | FilterChoice::Tc => Native::Not,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Native {
    Only,
    IfPossible,
    Not,
}

fn xdp(interface: &Interface, facts: &Facts) -> Check {
    const CHECK: &str = "xdp";
    let name = &interface.name;
    match (native(interface), facts.features) {
        (Native::Not, _) => {
            let message = format!("mode {} works with any driver", interface.mode.name());
            Check::ok(name, CHECK, message)
        }
        (_, None) => Check::warning(
            name,
            CHECK,
            "the kernel does not tell what the driver can (6.3 does): tried at attach",
        ),
        (_, Some(XdpFeatures { native: true, .. })) => match facts.costs {
            Some(costs) => Check::warning(name, CHECK, costs),
            None => Check::ok(name, CHECK, "the driver runs the filter: native mode"),
        },
        (Native::Only, Some(_)) => Check::problem(name, CHECK, "the driver has no XDP")
            .remedy("`--mode generic` or `--mode tc`"),
        (Native::IfPossible, Some(_)) => Check::warning(
            name,
            CHECK,
            "the driver has no XDP: generic mode, which is slower",
        )
        .remedy("a packet that is dropped costs more; `--mode tc` is no slower than that"),
    }
}

fn mtu(interface: &Interface, facts: &Facts) -> Check {
    const CHECK: &str = "mtu";
    let (name, mtu) = (&interface.name, facts.mtu);
    let several = facts.features.is_some_and(|it| it.frags);
    let fits = mtu <= ONE_PAGE || several || native(interface) == Native::Not;
    if fits {
        return Check::ok(name, CHECK, format!("{mtu} bytes"));
    }
    let remedy = format!("`ip link set dev {name} mtu 1500`, or `--mode tc`");
    match (facts.features, native(interface)) {
        (Some(_), Native::Only) => {
            let message = format!("{mtu} bytes, and the driver takes frames of one page with XDP");
            Check::problem(name, CHECK, message).remedy(remedy)
        }
        _ => {
            let message = format!("{mtu} bytes may be too many for XDP in the driver");
            Check::warning(name, CHECK, message).remedy(remedy)
        }
    }
}

fn lro(interface: &Interface, ethtool: &Ethtool) -> Check {
    const CHECK: &str = "lro";
    let name = &interface.name;
    let remedy = format!("`ethtool -K {name} lro off`");
    match (ethtool.lro, native(interface)) {
        (false, _) => Check::ok(name, CHECK, "off"),
        (true, Native::Only) => {
            Check::problem(name, CHECK, "on: drivers refuse XDP with it").remedy(remedy)
        }
        (true, Native::IfPossible) => Check::warning(
            name,
            CHECK,
            "on: drivers refuse XDP with it, generic mode remains",
        )
        .remedy(remedy),
        (true, Native::Not) => Check::warning(
            name,
            CHECK,
            "on: segments that are merged cannot be forwarded",
        )
        .remedy(remedy),
    }
}

fn channels(interface: &Interface, ethtool: &Ethtool, cpus: u32) -> Check {
    const CHECK: &str = "channels";
    let name = &interface.name;
    let (queues, possible) = (ethtool.queues, ethtool.queues_max.min(cpus));
    if queues == 0 {
        return Check::ok(name, CHECK, "the driver tells of none");
    }
    let message = format!("{queues} receive on {cpus} CPUs");
    if queues >= possible {
        return Check::ok(name, CHECK, message);
    }
    let kind = if ethtool.combined { "combined" } else { "rx" };
    Check::warning(name, CHECK, message).remedy(format!(
        "each is filtered on one CPU: `ethtool -L {name} {kind} {possible}` uses more of them"
    ))
}

fn rx_vlan(interface: &Interface, ethtool: &Ethtool) -> Check {
    let message = match ethtool.rx_vlan {
        true => "tags are taken off by the NIC: all VLANs are filtered alike",
        false => "tags are read by the filter, up to two",
    };
    Check::ok(&interface.name, "rx-vlan", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    fn interface(mode: FilterChoice) -> Interface {
        Interface {
            name: "eth0".to_owned(),
            index: 2,
            mode,
        }
    }

    fn facts() -> Facts {
        let (native, frags) = (true, false);
        Facts {
            mtu: 1500,
            driver: Some("ixgbe".to_owned()),
            features: Some(XdpFeatures { native, frags }),
            ethtool: Ok(Ethtool {
                queues: 4,
                queues_max: 8,
                ..Ethtool::default()
            }),
            cpus: 4,
            costs: None,
        }
    }

    /// What is not ok: the check, and how it is in the modes native, auto and tc.
    fn wrong(facts: &Facts) -> Vec<(&'static str, [Status; 3])> {
        let modes = [FilterChoice::Native, FilterChoice::Auto, FilterChoice::Tc];
        let by_mode = modes.map(|mode| all(&interface(mode), facts));
        let checks = by_mode[0].iter().enumerate();
        checks
            .map(|(nth, check)| (check.check, by_mode.each_ref().map(|it| it[nth].status)))
            .filter(|(_, statuses)| *statuses != [Status::Ok; 3])
            .collect()
    }

    #[test]
    fn a_usual_nic_is_right() {
        assert_eq!(wrong(&facts()), []);
    }

    #[test]
    fn each_fact_is_judged_by_the_mode() {
        use Status::{Ok as Fine, Problem, Warning};
        type Change = fn(&mut Facts);
        let cases: [(&str, [Status; 3], Change); 6] = [
            ("mtu", [Problem, Warning, Fine], |it| it.mtu = 9000),
            ("lro", [Problem, Warning, Warning], |it| {
                it.ethtool.as_mut().unwrap().lro = true;
            }),
            ("channels", [Warning, Warning, Warning], |it| {
                it.ethtool.as_mut().unwrap().queues = 1;
            }),
            ("xdp", [Problem, Warning, Fine], |it| {
                it.features = Some(XdpFeatures::default());
            }),
            ("xdp", [Warning, Warning, Fine], |it| it.features = None),
            ("xdp", [Warning, Warning, Fine], |it| {
                it.costs = Some("dear");
            }),
        ];
        for (check, statuses, change) in cases {
            let mut facts = facts();
            change(&mut facts);
            assert_eq!(wrong(&facts), [(check, statuses)]);
        }
    }

    #[test]
    fn a_driver_for_frames_of_several_buffers_has_no_limit() {
        let mut facts = facts();
        facts.mtu = 9000;
        let (native, frags) = (true, true);
        facts.features = Some(XdpFeatures { native, frags });
        assert_eq!(wrong(&facts), []);
    }
}
