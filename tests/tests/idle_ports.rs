//! No client's SYN meets a port that is still known to be idle, however often somebody looks while
//! replies arm it (`ftpfw_common::abi::idle`).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::Address;
use ftpfw_common::abi::{idle::Place, keys::TupleKey};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::random;
use ftpfw_tests::scene::{PORT, Scene};
use ftpfw_tests::scripted::Talk;
use ftpfw_tests::wait;
use ftpfw_user::kernel::{Maps, PinDir, idle::Finder, ports::Ports};
use rustix::process::Signal;

/// `FTPFW_RANDOM=N`: other than so many.
const TRANSFERS: u64 = 400;

/// Negotiates and dials at once; whether the port was known to be idle before.
fn transfer(scene: &Scene<'_>, talk: &mut Talk, ports: &Ports) -> Result<bool> {
    let idle = ports.idle().is_idle(Place::tcp(PORT));
    talk.c(b"EPSV\r\n")?;
    talk.s(format!("229 Extended passive mode (|||{PORT}|)\r\n").as_bytes())?;
    let tuple = TupleKey::passive(
        Address::from(scene.lab.client.address(scene.family)),
        Address::from(scene.address()),
        PORT,
    );
    for place in [Place::tcp(PORT), Place::tuple(&tuple)] {
        ensure!(!ports.idle().is_idle(place), "armed and idle: {place:?}");
    }
    let client = dial(
        &scene.lab.client.netns,
        SocketAddr::new(scene.address(), PORT),
    )?;
    drop(accept(&scene.data)?);
    drop(client);
    talk.s(b"226 done\r\n")?;
    Ok(idle)
}

#[test]
fn every_data_connection_gets_through_at_once() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let maps = Maps::open(&PinDir::new(scene.firewall.place().pins.clone()))?;
    let (ports, finder) = (maps.ports()?, maps.idle_finder()?);
    wait::until("the agent to have looked", || {
        let idle = ports.idle().is_idle(Place::tcp(PORT));
        Ok(idle.then_some(()))
    })?;
    scene.closed(PORT, "not-armed")?;
    let before = scene.firewall.stats()?;
    // One looks at a time: the agent must not.
    scene.firewall.signal(Signal::STOP)?;
    let (done, times) = (AtomicBool::new(false), random::count(TRANSFERS)?);
    let idle = thread::scope(|scope| {
        let looking = scope.spawn(|| look_until(&done, &finder));
        let idle = (0..times).map(|_| transfer(&scene, &mut talk, &ports));
        let idle: Result<Vec<bool>> = idle.collect();
        done.store(true, Relaxed);
        looking.join().expect("it does not panic")?;
        idle
    })?;
    scene.firewall.signal(Signal::CONT)?;
    let idle = idle.iter().filter(|idle| **idle).count();
    println!("{idle} of {times} transfers met a port that was known to be idle");
    ensure!(idle > 0, "nobody has looked in between");
    let after = scene.firewall.stats()?;
    ensure!(
        after.drops() == before.drops(),
        "dropped: {:?}, before {:?}",
        after.drop,
        before.drop
    );
    scene.closed(PORT, "not-armed").context("afterwards")
}

fn look_until(done: &AtomicBool, finder: &Finder) -> Result<()> {
    while !done.load(Relaxed) {
        (0..100).for_each(|_| finder.look_at(PORT));
        finder.look_at_tuples()?;
    }
    Ok(())
}
