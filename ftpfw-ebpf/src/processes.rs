//! Which processes belong to an FTP daemon: those that descend from one that listens on a control port,
//! as long as they run its program. What a super-server starts runs another one; the agent adds who
//! holds a control connection, and the control groups that are a daemon's service as a whole.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_cgroup_id},
    programs::RawTracePointContext,
};
use ftpfw_common::abi::kernel::KernelLayout;

use crate::{
    kernel::{KERNEL_LAYOUT, field},
    maps::{CGROUPS, DAEMONS, PROCESSES},
};

/// PID 1 listens for others (systemd's sockets): what descends from it is everybody.
const INIT: u32 = 1;

/// The process under way.
#[inline(always)]
pub fn current() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The daemon that the process under way belongs to: as one of its processes, or by its control group.
#[inline(always)]
pub fn daemon_of_current() -> Option<u32> {
    daemon_of(current()).or_else(|| {
        // SAFETY: the helper has no argument and no effect; one word is read.
        unsafe { CGROUPS.get(bpf_get_current_cgroup_id()) }.copied()
    })
}

/// The daemon that a process belongs to.
#[inline(always)]
fn daemon_of(process: u32) -> Option<u32> {
    // SAFETY: one word is read.
    unsafe { PROCESSES.get(process) }.copied()
}

/// A process listens on a control port: it is a daemon, the one that it was if it has another.
#[inline(always)]
pub fn serves(process: u32, port: u16) {
    if process == INIT {
        return;
    }
    let daemon = daemon_of(process).unwrap_or(u32::from(port));
    // Full: its passive FTPS transfers are refused, and counted at their SYN.
    let _ = PROCESSES.insert(process, daemon, 0);
    let _ = DAEMONS.insert(u32::from(port), daemon, 0);
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`.
#[inline(always)]
pub fn forked(ctx: &RawTracePointContext) {
    let layout = KERNEL_LAYOUT.load();
    let Some(parent) = process(ctx.arg::<u64>(0) as usize, &layout) else {
        return;
    };
    let Some(child) = process(ctx.arg::<u64>(1) as usize, &layout) else {
        return;
    };
    // A thread is no process.
    if parent != child
        && let Some(daemon) = daemon_of(parent)
    {
        let _ = PROCESSES.insert(child, daemon, 0);
    }
}

/// `sched_process_exec`: another program runs in the current process.
#[inline(always)]
pub fn executed() {
    let _ = PROCESSES.remove(current());
}

/// `sched_process_exit(struct task_struct *task, …)`.
#[inline(always)]
pub fn exited(ctx: &RawTracePointContext) {
    let layout = KERNEL_LAYOUT.load();
    let task = ctx.arg::<u64>(0) as usize;
    let thread: Option<u32> = field(task, layout.pid);
    let process = process(task, &layout);
    if thread == process
        && let Some(process) = process
    {
        let _ = PROCESSES.remove(process);
    }
}

#[inline(always)]
fn process(task: usize, layout: &KernelLayout) -> Option<u32> {
    field(task, layout.tgid)
}
