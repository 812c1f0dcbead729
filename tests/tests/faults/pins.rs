//! Pins that are not as an agent leaves them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::abi::maps;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::mounts::{self, in_own_namespace};
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::refusal::{FAILED, nothing_left, nothing_on, refused, refused_by};
use rustix::process::Signal;

const RUN: [&str; 3] = ["run", "-i", "eth0"];
const CLOSED: u16 = 45_000;

fn still_closed(lab: &Lab) -> Result<()> {
    let answer = probe(&lab.stranger, lab.server.v4.into(), CLOSED)?;
    ensure!(answer == Answer::Silent, "it failed open: {answer:?}");
    Ok(())
}

/// An agent that died, with its filter in place.
fn crashed(lab: &Lab) -> Result<Firewall> {
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.end_by(Signal::KILL)?;
    Ok(firewall)
}

#[test]
fn a_map_is_missing_under_an_attached_filter() -> Result<()> {
    let lab = Lab::new()?;
    for name in [maps::CLAIMED, maps::SETTINGS] {
        let mut firewall = crashed(&lab)?;
        let place = firewall.place();
        fs::remove_file(place.pins.join(name))?;
        let missing = format!("the map {name} is missing");
        let way_out = format!("ftpfw detach --pin-dir {}", place.pins.display());
        for _ in 0..2 {
            refused(place, &RUN, FAILED, &[&missing, &way_out])?;
            still_closed(&lab).with_context(|| format!("without {name}"))?;
        }
        let detached = place.command(&["detach"]).output()?;
        ensure!(detached.status.success(), "{detached:?}");
        nothing_on(&lab.server, "eth0")?;
        firewall.launch(&[])?;
        firewall.wait_until_ready()?;
        let server = lab.server.v4.into();
        expect_dropped(&firewall, &lab.stranger, server, CLOSED, "not-armed")?;
    }
    Ok(())
}

/// A run died between two maps, or between the maps and the first link: nothing is attached, and
/// the next one begins anew.
#[test]
fn only_some_maps_and_no_link() -> Result<()> {
    let lab = Lab::new()?;
    let other = Firewall::start(&lab.client, &[])?;
    for some in [
        [maps::PORTS, maps::EVENTS].as_slice(),
        &[maps::SETTINGS],
        &[],
    ] {
        let place = Place::new(&lab.server)?;
        fs::create_dir_all(place.pins.join("links/7-eth7"))?;
        for name in some {
            let map = aya::maps::MapData::from_pin(other.place().pins.join(name))?;
            map.pin(place.pins.join(name))?;
        }
        let firewall = Firewall::start_at(place, &[])?;
        let server = lab.server.v4.into();
        expect_dropped(&firewall, &lab.stranger, server, CLOSED, "not-armed")?;
        let drops = firewall.stats()?.drops();
        ensure!(drops == 1, "{some:?}: it counts in the other one's maps");
    }
    Ok(())
}

#[test]
fn a_directory_in_the_place_of_a_map() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let map = place.pins.join(maps::SETTINGS);
    fs::create_dir_all(&map)?;
    let path = map.display().to_string();
    refused(&place, &RUN, FAILED, &[&path])?;
    nothing_on(&lab.server, "eth0")?;
    fs::remove_dir(&map)?;
    fs::remove_dir(&place.pins)?;
    nothing_left(&lab.server, &place)
}

#[test]
fn something_else_in_the_place_of_the_directory() -> Result<()> {
    let lab = Lab::new()?;
    let first = Firewall::start(&lab.server, &[])?;
    let mut place = Place::new(&lab.server)?;
    place.pins = first.place().pins.join(maps::SETTINGS);
    let path = place.pins.display().to_string();
    refused(&place, &RUN, FAILED, &["pin directory", &path])?;
    ensure!(first.place().pins.join(maps::SETTINGS).exists());
    still_closed(&lab)
}

#[test]
fn a_file_system_that_is_read_only() -> Result<()> {
    let lab = Lab::new()?;
    let read_only = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0}",
        mounts::BPF
    );
    let place = Place::new(&lab.server)?;
    let path = place.pins.display().to_string();
    let run = |place: &Place| in_own_namespace(&read_only, &place.command(&RUN));
    refused_by(&mut run(&place), FAILED, &["Read-only", &path])?;
    nothing_left(&lab.server, &place)?;

    // With something to adopt.
    let firewall = crashed(&lab)?;
    let place = firewall.place();
    let error = refused_by(&mut run(place), FAILED, &["Read-only"]);
    error.context("with something to adopt")?;
    still_closed(&lab)?;
    let mut detach = in_own_namespace(&read_only, &place.command(&["detach"]));
    refused_by(&mut detach, FAILED, &["Read-only"])
}
