//! What can happen to an interface under the filter, beside what `tests/interfaces.rs` has: deleted,
//! made anew, renamed, moved to another namespace.

use anyhow::{Context as _, Result, ensure};
use aya::programs::XdpMode;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scene::Scene;
use ftpfw_user::kernel::{Kernel, LoadOptions, pins::AttachedMode};

const CLOSED: u16 = 45_000;

#[test]
fn down_and_up_and_another_mtu() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    for change in [
        "link set eth0 down\nlink set eth0 up",
        "link set eth0 mtu 1280",
        "link set eth0 mtu 1500",
        "link set eth0 down\nlink set eth0 mtu 1400\nlink set eth0 up",
    ] {
        lab.server.netns.ip(change)?;
        let unharmed = scene.closed(CLOSED, "not-armed");
        unharmed
            .and_then(|()| scene.still_works(&mut talk))
            .context(change)?;
    }
    Ok(())
}

/// The kernel itself refuses to let another XDP program take the place, by link or by netlink.
#[test]
fn nobody_takes_the_place_of_the_filter() -> Result<()> {
    let lab = Lab::new()?;
    for mode in ["native", "generic"] {
        let firewall = Firewall::start(&lab.server, &["--mode", mode])?;
        let mut other = Kernel::load(&LoadOptions::default())?;
        for (program, flags) in [
            (AttachedMode::Native, XdpMode::Driver),
            (AttachedMode::Generic, XdpMode::Skb),
        ] {
            let program = other.ingress(program)?;
            let attached = lab.server.netns.run(|| program.attach("eth0", flags))?;
            ensure!(
                attached.is_err(),
                "beside {mode}: another one was attached, {flags:?}"
            );
        }
        for off in ["xdp", "xdpdrv", "xdpgeneric"] {
            // Some of it is no error for `ip`: there is nothing of that kind to remove.
            let mut ip = lab.server.netns.command("ip");
            ip.args(["link", "set", "dev", "eth0", off, "off"])
                .output()?;
        }
        let server = lab.server.v4.into();
        expect_dropped(&firewall, &lab.stranger, server, CLOSED, "not-armed")
            .with_context(|| format!("in mode {mode}"))?;
    }
    Ok(())
}
