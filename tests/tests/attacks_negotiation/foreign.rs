//! ATTACKS 4: a reply that names a port of another service.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::Scene;
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::service::{self, Stranger};
use ftpfw_tests::wait;
use rustix::process::Signal;
use serde_json::Value;

/// A service that runs before ftpfw does.
const BEFORE: u16 = 3306;
/// A service that starts afterwards.
const AFTER: u16 = 5432;
/// What several services listen on.
const SHARED: u16 = 46_000;

#[test]
fn a04_another_services_port() -> Result<()> {
    let lab = Lab::new()?;
    service::start(&lab, BEFORE)?;
    let scene = Scene::around(&lab, Scripted::start(&lab.server, Family::V4)?, Family::V4)?;
    service::start(&lab, AFTER)?;
    for port in [BEFORE, AFTER] {
        let [high, low] = port.to_be_bytes();
        let pasv = format!("S 227 Entering ({{s}},{high},{low})");
        let epsv = format!("S 229 Extended (|||{port}|)");
        for script in [["C PASV", &pasv], ["C EPSV", &epsv]] {
            let mut talk = scene.logged_in()?;
            scene
                .arms_nothing(&mut talk, &script, &["foreign-listener"])
                .with_context(|| format!("{script:?}"))?;
            scene.closed(port, "not-armed")?;
            scene.still_works(&mut talk)?;
        }
    }
    Ok(())
}

/// A listener that closes in another namespace leaves the port closed to negotiations here.
#[test]
fn a04_what_closes_elsewhere_opens_nothing() -> Result<()> {
    let lab = Lab::new()?;
    service::start(&lab, BEFORE)?;
    let scene = Scene::around(&lab, Scripted::start(&lab.server, Family::V4)?, Family::V4)?;
    let twin = lab.twin(Family::V4)?;
    for address in [scene.address(), "0.0.0.0".parse()?, "::".parse()?] {
        drop(twin.run(|| TcpListener::bind((address, BEFORE)))??);
        let mut talk = scene.logged_in()?;
        let script = ["C PASV", "S 227 Entering ({s},12,234)"];
        scene
            .arms_nothing(&mut talk, &script, &["foreign-listener"])
            .with_context(|| format!("a listener on {address} closed"))?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

/// The port is another service's still, until the last of its listeners has closed.
#[test]
fn a04_what_closes_beside_opens_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let (outside, inside) = (lab.server.v4, Ipv4Addr::LOCALHOST);
    let first = Stranger::start(&lab.server, outside, SHARED)?;
    let second = Stranger::start(&lab.server, inside, SHARED)?;
    wait_for(&firewall, SHARED, true)?;
    drop(second);
    // What is told comes in order: once this is seen, so is the end of the second.
    let _later = Stranger::start(&lab.server, outside, SHARED + 2)?;
    wait_for(&firewall, SHARED + 2, true)?;
    ensure!(is_foreign(&firewall, SHARED)?, "the first still listens");
    drop(first);
    wait_for(&firewall, SHARED, false)
}

/// A service that listens and goes into the background has another number when the agent looks.
#[test]
fn a04_a_service_in_the_background() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    scene.firewall.signal(Signal::STOP)?;
    let started = service::start_in_background(&lab, AFTER);
    scene.firewall.signal(Signal::CONT)?;
    started?;
    wait_for(&scene.firewall, AFTER, true)
}

fn is_foreign(firewall: &Firewall, port: u16) -> Result<bool> {
    let ports: Vec<Value> = firewall.query(&["list", "ports"])?;
    let is_foreign = |it: &Value| it["first"] == port && it["foreign"] == true;
    Ok(ports.iter().any(is_foreign))
}

/// Waits until a port is closed to negotiations, or is not any more.
fn wait_for(firewall: &Firewall, port: u16, foreign: bool) -> Result<()> {
    wait::until(&format!("port {port} to be foreign: {foreign}"), || {
        Ok((is_foreign(firewall, port)? == foreign).then_some(()))
    })
}
