//! ATTACKS 1-8, 10, 14-16, 35, 42: what a negotiation says, and who says it to whom.
//!
//! The server listens on every port that an attack announces, so that nothing is refused for want of
//! a listener. After each attack an honest negotiation on the same connection lets a transfer through.

mod active;
mod foreign;
mod login;
mod replies;

use anyhow::{Context as _, Result};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::Scene;

/// A script, and the refusals that it is counted under.
type Row<'a> = (&'a [&'a str], &'a [&'a str]);

/// Plays each row on a logged-in connection of its own.
fn refused(family: Family, rows: &[Row<'_>]) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::over(&lab, family)?;
    for (script, refusals) in rows {
        let mut talk = scene.logged_in()?;
        scene
            .arms_nothing(&mut talk, script, refusals)
            .and_then(|()| scene.still_works(&mut talk))
            .with_context(|| format!("{script:?}"))?;
    }
    Ok(())
}
