//! The test plays the service manager: what is sent to NOTIFY_SOCKET, and when.

use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::Place;
use ftpfw_tests::wait::patience;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{File, eth0};

/// The end that a service manager listens at.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-manager-")?;
        let socket = UnixDatagram::bind(directory.path().join("notify"))?;
        socket.set_read_timeout(Some(patience()))?;
        Ok(Self { socket, directory })
    }

    fn start(&self, lab: &Lab, file: &File, watchdog_usec: &str) -> Result<Firewall> {
        let place = Place::new(&lab.server)?;
        let mut command = file.run(&place, &[]);
        command
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env("WATCHDOG_USEC", watchdog_usec)
            .env_remove("WATCHDOG_PID");
        Firewall::start_by(place, &mut command)
    }

    /// The next message, of several lines.
    fn next(&self) -> Result<String> {
        let mut buffer = [0; 4096];
        let length = self
            .socket
            .recv(&mut buffer)
            .context("hear of the service")?;
        Ok(String::from_utf8(buffer[..length].to_vec())?)
    }
}

fn has(message: &str, line: &str) -> bool {
    message.lines().any(|it| it == line)
}

/// And nothing else: nobody asked for a watchdog.
#[test]
fn ready_reloading_and_stopping() -> Result<()> {
    let (lab, manager) = (Lab::new()?, Manager::new()?);
    let file = File::new(&eth0())?;
    let mut firewall = manager.start(&lab, &file, "")?;
    let ready = manager.next()?;
    ensure!(
        has(&ready, "READY=1") && ready.contains("STATUS=protecting eth0"),
        "{ready}"
    );
    for (text, event) in [
        (eth0() + "dry_run = true\n", "reloaded"),
        ("nonsense".to_owned(), "reload-failed"),
    ] {
        let (found, said) = file.reload(&mut firewall, &text)?;
        ensure!(found == event, "{said}");
        let message = manager.next()?;
        ensure!(has(&message, "RELOADING=1"), "{message}");
        ensure!(
            message.lines().any(|it| it.starts_with("MONOTONIC_USEC=")),
            "{message}"
        );
        // Failed or not: it serves again, by what holds now.
        let message = manager.next()?;
        ensure!(
            has(&message, "READY=1") && message.contains("dry run"),
            "{message}"
        );
    }
    firewall.stop()?;
    let message = manager.next()?;
    ensure!(has(&message, "STOPPING=1"), "{message}");
    Ok(())
}

#[test]
fn the_watchdog_hears_of_an_agent_that_runs_and_of_none_that_is_stuck() -> Result<()> {
    let (lab, manager) = (Lab::new()?, Manager::new()?);
    let file = File::new(&eth0())?;
    let mut firewall = manager.start(&lab, &file, "200000")?;
    for _ in 0..5 {
        manager.next()?;
    }
    firewall.signal(Signal::STOP)?;
    // What was sent before.
    manager.socket.set_nonblocking(true)?;
    while manager.next().is_ok() {}
    manager.socket.set_nonblocking(false)?;
    // Five times the time after which the service manager would act.
    manager
        .socket
        .set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let heard = manager.next();
    firewall.signal(Signal::CONT)?;
    ensure!(
        heard.is_err(),
        "heard {heard:?} of a process that is stopped"
    );
    manager.socket.set_read_timeout(Some(patience()))?;
    ensure!(manager.next()?.trim() == "WATCHDOG=1", "it goes on");
    Ok(())
}
