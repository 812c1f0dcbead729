//! An agent that stands still (SIGSTOP) while the programs go on telling it things.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::scene::Scene;
use ftpfw_tests::wait;
use rustix::process::Signal;

/// By default.
const SECONDS: u64 = 5;

#[test]
fn transfers_go_on_and_what_it_misses_is_counted() -> Result<()> {
    let seconds = match env::var("FTPFW_SECONDS") {
        Ok(number) => number.parse().context("FTPFW_SECONDS")?,
        Err(_) => SECONDS,
    };
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    let mut busy = scene.logged_in()?;
    let mut talk = scene.logged_in()?;
    scene.still_works(&mut talk)?;
    let before = scene.firewall.stats()?;
    ensure!(before.events_lost == 0, "before: {before:?}");

    scene.firewall.signal(Signal::STOP)?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut transfers = 0;
    // Each NOOP and each reply is a record of the ring buffer.
    let (noops, replies) = ("NOOP\r\n".repeat(100), "200 ok\r\n".repeat(100));
    loop {
        for _ in 0..100 {
            busy.c(noops.as_bytes())?;
            busy.s(replies.as_bytes())?;
        }
        scene.still_works(&mut talk)?;
        transfers += 1;
        let full = scene.firewall.stats()?.events_lost > 0;
        if full && Instant::now() > until {
            break;
        }
        ensure!(
            Instant::now() < until + wait::patience(),
            "the ring buffer is never full"
        );
        // Slowly, once it is full: time shall pass.
        thread::sleep(Duration::from_millis(if full { 100 } else { 0 }));
    }
    let lost = scene.firewall.stats()?.events_lost;
    println!("{transfers} transfers, {lost} records lost");

    scene.firewall.signal(Signal::CONT)?;
    wait::until("the agent to say what it missed", || {
        // It answers when it has taken all that piled up: one that is not optimised takes seconds for that.
        let events = scene.firewall.events(&[]).unwrap_or_default();
        Ok(events
            .iter()
            .any(|it| it.event == "events-lost")
            .then_some(()))
    })?;
    scene.still_works(&mut talk)?;
    scene.still_works(&mut busy)?;
    let status: serde_json::Value = scene.firewall.query(&["status"])?;
    ensure!(status["agent"]["disagreements"] == 0, "{status}");
    Ok(())
}
