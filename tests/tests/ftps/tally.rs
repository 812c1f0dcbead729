//! How the kernel counts the opaque sessions of a client: down to zero, and up again from there.
//!
//! The entry outlives the zero. When it went with the last session, `cargo xtask soak` lost one client in
//! 25,000 sessions: the next session had counted itself in the entry that was just removed.

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::values::Entitled;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::wait;
use ftpfw_user::kernel::{Maps, PinDir, Wire};

use crate::others::Scene;

const PORT: u16 = 45_000;

/// The one client's entry.
fn entitled(maps: &Maps) -> Result<Option<Entitled>> {
    let mut entries = maps.entitled_entries()?;
    let entry = entries.next().transpose()?;
    ensure!(entries.next().is_none(), "there is one client");
    Ok(entry.map(|(_, Wire(entry))| entry))
}

/// Waits until it counts so many sessions.
fn sessions(maps: &Maps, number: u64) -> Result<Entitled> {
    wait::until(&format!("{number} sessions to be counted"), || {
        Ok(entitled(maps)?.filter(|it| it.sessions == number))
    })
}

#[test]
fn a_client_comes_back_to_the_entry_that_it_left() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let (one, two) = (scene.opaque()?, scene.opaque()?);
    let first = sessions(&maps, 2)?;
    one.reset()?;
    let left = sessions(&maps, 1)?;
    ensure!(left.since == first.since, "{left:?} after {first:?}");
    two.reset()?;
    sessions(&maps, 0)?;

    // Nobody is there, so nothing is open.
    let between = scene.daemon.listen(PORT)?;
    scene.closed().context("between two sessions")?;

    let _again = scene.opaque()?;
    let again = sessions(&maps, 1)?;
    ensure!(again.since > first.since, "{again:?} after {first:?}");
    scene
        .closed()
        .context("a listener older than the session")?;
    drop(between);
    let listener = wait::until("the port to be free", || Ok(scene.daemon.listen(PORT).ok()))?;
    scene.open_once(&listener)
}

#[test]
fn who_is_gone_for_long_leaves_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab, Family::V4)?;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let gone = scene.opaque()?;
    sessions(&maps, 1)?;
    gone.reset()?;
    wait::until("the entries to be collected", || {
        let left = entitled(&maps)?.is_some() || maps.opaque_entries()?.next().is_some();
        Ok((!left).then_some(()))
    })
}
