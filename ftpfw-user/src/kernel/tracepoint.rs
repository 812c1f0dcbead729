//! The raw tracepoint `inet_sock_set_state`.
//!
//! Raw, as the kernel skips a program of the other kind while any tracing program, or a bpf(2) call on
//! a map, is at work on the same CPU (`bpf_prog_active`): a claim would be missed now and then.

use std::fs;

use anyhow::Context as _;
use aya::programs::{RawTracePoint, links::FdLink};

use super::{PinDir, rollback::Rollback};

/// Attaches and pins. Where a link of an earlier agent is pinned, the new one takes its place after
/// it works: a link of a tracepoint cannot change its program, and both may see an event for a
/// moment, which claims a tuple once all the same.
///
/// # Errors
///
/// When the kernel has no such tracepoint.
pub(super) fn attach(
    program: &mut RawTracePoint,
    pins: &PinDir,
    rollback: &mut Rollback,
) -> anyhow::Result<()> {
    let path = pins.sockets_link();
    if let Some(links) = path.parent() {
        fs::create_dir_all(links).with_context(|| format!("cannot make {}", links.display()))?;
    }
    let id = program
        .attach("inet_sock_set_state")
        .context("cannot attach to the raw tracepoint inet_sock_set_state")?;
    let link = FdLink::from(program.take_link(id)?);
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
