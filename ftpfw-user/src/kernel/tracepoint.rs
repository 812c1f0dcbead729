//! The tracepoint `sock:inet_sock_set_state`.

use std::fs;

use anyhow::Context as _;
use aya::programs::{TracePoint, links::FdLink};

use super::{PinDir, rollback::Rollback};

/// Attaches and pins. Where a link of an earlier agent is pinned, the new one takes its place after
/// it works: a link of a tracepoint cannot change its program, and both may see an event for a
/// moment, which claims a tuple once all the same.
///
/// # Errors
///
/// When tracefs or the tracepoint is not there.
pub(super) fn attach(
    program: &mut TracePoint,
    pins: &PinDir,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let path = pins.sockets_link();
    let id = program
        .attach("sock", "inet_sock_set_state")
        .context("cannot attach to the tracepoint sock:inet_sock_set_state")?;
    let link = FdLink::try_from(program.take_link(id)?)?;
    if !path.exists() {
        link.pin(&path)?;
        rollback.made(&path);
        return Ok(());
    }
    let beside = path.with_file_name("sockets-new");
    let _left_over = fs::remove_file(&beside);
    link.pin(&beside)?;
    fs::rename(&beside, &path).with_context(|| format!("cannot replace {}", path.display()))
}
