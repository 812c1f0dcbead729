//! ATTACKS 4: a reply that names a port of another service.

use std::net::TcpListener;

use anyhow::{Context as _, Result};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::Scene;
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::service;

/// A service that runs before ftpfw does.
const BEFORE: u16 = 3306;
/// A service that starts afterwards.
const AFTER: u16 = 5432;

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
