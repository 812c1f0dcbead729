//! `ftpfw events`: what happened, and with which line.

mod following;
mod told;

use anyhow::{Context as _, Result};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::report::Event;
use ftpfw_tests::wait;

/// Waits until a kind of event has been told so often; all events then.
fn told(firewall: &Firewall, event: &str, times: usize) -> Result<Vec<Event>> {
    let mut seen = Vec::new();
    wait::until(&format!("{times} events `{event}`"), || {
        seen = firewall.events(&[])?;
        let found = seen.iter().filter(|it| it.event == event).count();
        Ok((found >= times).then_some(()))
    })
    .with_context(|| format!("{seen:?}"))?;
    Ok(seen)
}
