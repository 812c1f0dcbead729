//! The raw tracepoints.
//!
//! Raw, as the kernel skips a program of the other kind while any tracing program, or a bpf(2) call on
//! a map, is at work on the same CPU (`bpf_prog_active`): a claim would be missed now and then.

use std::{fs, path::Path};

use anyhow::Context as _;
use aya::programs::links::FdLink;
use ftpfw_common::abi::programs;

use super::{Kernel, PinDir, btf, rollback::Rollback};

/// A program, and the tracepoint that it is attached to.
type Attachment = (&'static str, &'static str);

/// Tell which processes are an FTP daemon's.
pub(super) const PROCESSES: [Attachment; 3] = [
    (programs::FORKS, "sched_process_fork"),
    (programs::EXECS, "sched_process_exec"),
    (programs::EXITS, "sched_process_exit"),
];

/// Tell what becomes of connections and listeners. The kernel calls them in this order.
pub(super) const SOCKETS: [Attachment; 2] = [
    (programs::SOCKETS, "inet_sock_set_state"),
    (programs::SOCKETS_AGAIN, "inet_sock_set_state"),
];

/// All of them: processes first, so that none is missed that listens.
pub(super) fn all() -> impl Iterator<Item = Attachment> {
    PROCESSES.into_iter().chain(SOCKETS)
}

/// Raw tracepoints that the kernel lacks; nothing is attached.
///
/// # Errors
///
/// When the kernel has no BTF.
pub(super) fn missing() -> anyhow::Result<Vec<&'static str>> {
    btf::missing_tracepoints(all().map(|(_, tracepoint)| tracepoint))
}

/// Attaches and pins some of them. Where a link of an earlier agent is pinned, the new one takes its
/// place after it works: a link of a tracepoint cannot change its program, and both may see an event
/// for a moment, which claims a tuple once all the same.
///
/// The inner error: the kernel has no such tracepoint, which one can live without.
///
/// # Errors
///
/// When a link cannot be pinned.
pub(super) fn attach(
    attachments: &[Attachment],
    kernel: &mut Kernel,
    pins: &PinDir,
    rollback: &mut Rollback,
) -> anyhow::Result<anyhow::Result<()>> {
    for &(name, tracepoint) in attachments {
        let path = pins.tracepoint_link(name);
        if let Some(links) = path.parent() {
            fs::create_dir_all(links)
                .with_context(|| format!("cannot make {}", links.display()))?;
        }
        let program = kernel.tracepoint(name)?;
        let attached = program
            .attach(tracepoint)
            .with_context(|| format!("cannot attach to the raw tracepoint {tracepoint}"));
        let id = match attached {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        };
        let link = FdLink::from(program.take_link(id)?);
        if !path.exists() {
            pin(link, &path)?;
            rollback.made(&path);
            continue;
        }
        let beside = pins.new_tracepoint_link(name);
        let _left_over = fs::remove_file(&beside);
        pin(link, &beside)?;
        fs::rename(&beside, &path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    Ok(Ok(()))
}

fn pin(link: FdLink, path: &Path) -> anyhow::Result<()> {
    link.pin(path)
        .map(drop)
        .with_context(|| format!("cannot pin {}", path.display()))
}
