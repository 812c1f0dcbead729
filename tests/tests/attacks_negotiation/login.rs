//! ATTACKS 16, 35: what a session must have behind it.

use anyhow::{Context as _, Result};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::scene::Scene;

use crate::Row;

#[test]
fn a16_before_login() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let greeted: &[&str] = &["S 220 ready", "C USER someone", "S 331 password"];
    let attacks: [Row<'_>; 3] = [
        (&["C PASV", "S 227 Entering ({s},{p})"], &["not-logged-in"]),
        (
            &["C EPSV", "S 229 Extended (|||50000|)"],
            &["not-logged-in"],
        ),
        (&["C PORT {c},{p}", "S 200 ok"], &["not-logged-in"]),
    ];
    for (script, refusals) in attacks {
        let mut talk = scene.talk()?;
        scene.play(&mut talk, greeted)?;
        scene
            .arms_nothing(&mut talk, script, refusals)
            .with_context(|| format!("{script:?}"))?;
        // A refused login is none.
        let script = ["C PASS wrong", "S 530 no", "C PASV", "S 227 ({s},{p})"];
        scene.arms_nothing(&mut talk, &script, &["not-logged-in"])?;
        scene.play(
            &mut talk,
            &["C USER me", "S 331 password", "C PASS right", "S 230 in"],
        )?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

#[test]
fn a35_fake_auth() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    scene.play(&mut talk, &["C AUTH TLS", "S 500 no TLS here"])?;
    scene
        .still_works(&mut talk)
        .context("after a refused AUTH")?;
    // A 234 that answers another command is no AUTH either.
    scene.play(&mut talk, &["C NOOP", "S 234 go"])?;
    scene
        .still_works(&mut talk)
        .context("after a 234 for nothing")?;
    scene.arms_nothing(&mut talk, &["C CWD x", "S 227 ({s},{p})"], &["no-command"])
}
