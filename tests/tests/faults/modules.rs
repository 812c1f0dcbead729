//! A kernel that may load no module, as on a hardened host: nobody can ask it for connections.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::{keys::TupleKey, values};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::report::Tuple;
use ftpfw_tests::scene::Scene;
use ftpfw_tests::wait;
use ftpfw_user::kernel::leftovers::Leftovers;
use ftpfw_user::kernel::{Maps, PinDir, tuples};
use serde_json::Value;

/// What the kernel runs to load a module.
const LOADER: &str = "/proc/sys/kernel/modprobe";
const MODULE: &str = "tcp_diag";

/// While it lives, the kernel does not tell of TCP's sockets.
struct Unloaded(String);

impl Unloaded {
    /// `None` with a message where the kernel is not the test's own.
    fn new() -> Result<Option<Self>> {
        if env::var_os("FTPFW_OWN_KERNEL").is_none() {
            let mut stderr = io::stderr();
            writeln!(
                stderr,
                "SKIPPED where the kernel is not the test's own: no sock_diag"
            )?;
            return Ok(None);
        }
        ensure!(Path::new(LOADER).exists(), "a kernel without modules");
        let unloaded = Self(fs::read_to_string(LOADER)?);
        fs::write(LOADER, "\n").context("take the loader away")?;
        // Agents that have just gone may have held it.
        wait::until("the module to go", || {
            let _gone = Command::new("rmmod").arg(MODULE).output()?;
            let loaded = fs::read_to_string("/proc/modules")?;
            Ok((!loaded.contains(MODULE)).then_some(()))
        })?;
        Ok(Some(unloaded))
    }
}

impl Drop for Unloaded {
    fn drop(&mut self) {
        fs::write(LOADER, &self.0).expect("it was written before");
    }
}

/// What the kernel says of the connection is what it says of one that does not exist.
#[test]
fn a_transfer_is_not_over_because_nobody_tells() -> Result<()> {
    let Some(unloaded) = Unloaded::new()? else {
        return Ok(());
    };
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let data = scene.connect(&mut talk)?;
    let claimed = |tuples: &[Tuple]| matches!(tuples, [tuple] if tuple.state == "claimed");
    scene
        .firewall
        .wait_for_tuples("it to be claimed", claimed)?;

    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let all = tuples::entries(&maps.claimed()?)?;
    ensure!(all.len() == 1, "{all:?}");
    let mut leftovers = lab.server.netns.run(|| Leftovers::new(&maps))??;
    let told = leftovers.sees_connections().map_err(|it| it.kind());
    ensure!(told == Err(io::ErrorKind::Unsupported), "{told:?}");
    nothing_is_over(&mut leftovers, &all)?;
    let bytes = || -> Result<Value> {
        let rows: Vec<Value> = scene.firewall.query(&["list", "transfers"])?;
        Ok(rows.first().context("no transfer")?["bytes"].clone())
    };
    ensure!(bytes()?.is_null(), "{}", bytes()?);
    // Nor without the agent, and it says why.
    let place = scene.firewall.place();
    let output = place
        .elsewhere(&["list", "transfers", "-vv", "--socket", "/nonexistent"])
        .arg("--pin-dir")
        .arg(&place.pins)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("does not tell of TCP's sockets"), "{said}");
    ensure!(
        scene
            .firewall
            .log()
            .contains("does not tell of TCP's sockets"),
        "{}",
        scene.firewall.log()
    );
    scene
        .firewall
        .wait_for_tuples("it to be there still", claimed)?;

    drop(unloaded);
    leftovers.sees_connections()?;
    nothing_is_over(&mut leftovers, &all)?;
    drop((talk, data));
    scene.firewall.wait_for_tuples("its end", <[_]>::is_empty)
}

/// Two looks in a row find what is over.
fn nothing_is_over(leftovers: &mut Leftovers, claimed: &[(TupleKey, values::Tuple)]) -> Result<()> {
    for _ in 0..2 {
        let over = leftovers.unfinished(claimed)?;
        ensure!(over.is_empty(), "taken for over: {over:?}");
    }
    Ok(())
}
