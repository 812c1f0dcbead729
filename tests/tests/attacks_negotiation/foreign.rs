//! ATTACKS 4: a reply that names a port of another service.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::Scene;
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::{programs, wait};

/// A service that runs before ftpfw does.
const BEFORE: u16 = 3306;
/// A service that starts afterwards.
const AFTER: u16 = 5432;

/// Starts a process that listens on `port` and descends from nobody who speaks FTP: its parent, a
/// shell, is gone at once. It goes with the namespace.
fn service(lab: &Lab, port: u16) -> Result<()> {
    let program = programs::find("python3")?;
    let address = SocketAddr::new(lab.server.v4.into(), port);
    let script = format!(
        "import socket; s = socket.create_server(('{}', {port})); s.accept(); s.accept()",
        address.ip()
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#""$0" -c "$1" >/dev/null 2>&1 </dev/null &"#])
        .arg(program)
        .arg(script);
    let status = lab.server.netns.spawn(&mut shell)?.wait()?;
    ensure!(status.success(), "the shell: {status}");
    lab.server.netns.run(|| {
        wait::until("the service to listen", || {
            Ok(TcpStream::connect(address).ok().map(drop))
        })
    })?
}

#[test]
fn a04_another_services_port() -> Result<()> {
    let lab = Lab::new()?;
    service(&lab, BEFORE)?;
    let scene = Scene::around(&lab, Scripted::start(&lab.server, Family::V4)?, Family::V4)?;
    service(&lab, AFTER)?;
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
    service(&lab, BEFORE)?;
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
