//! The kernel: which one these programs are for, and its own structures, whose layout user space takes from
//! BTF.

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};
use ftpfw_common::abi::kernel::KernelLayout;

/// The programs are for kernels that lack what the others are made of:
///
/// * `bpf_loop` (5.17), and with it the engine: a loop that the verifier walks byte for byte is too long for
///   it. The agent opens (`--opener agent`); what is left to do here goes chunk by chunk.
/// * References to subprograms (`BPF_PSEUDO_FUNC`, 5.13), refused even in code that is never run: which is why
///   it does not do to find out while running.
/// * Atomic operations (5.12), but for an addition that returns nothing.
/// * The coarse clock (5.11).
///
/// Whatever is asked by it is decided by the compiler: the other side is not in the object.
pub const EARLY: bool = cfg!(feature = "early");

/// Where this kernel keeps what is read; the agent fills it in before it loads the programs.
#[unsafe(no_mangle)]
pub static KERNEL_LAYOUT: Global<KernelLayout> = Global::new(KernelLayout {
    family: 0,
    protocol: 0,
    local_v4: 0,
    remote_v4: 0,
    local_v6: 0,
    remote_v6: 0,
    local_port: 0,
    remote_port: 0,
    net: 0,
    inum: 0,
    pid: 0,
    tgid: 0,
    flags: 0,
    received: 0,
    acked: 0,
    namespace: 0,
});

/// Reads a field of a structure.
#[inline(always)]
pub fn field<T>(structure: usize, offset: u32) -> Option<T> {
    // SAFETY: the helper copies from any address, or says that it is none; every type that is asked
    // for is a number or an array of numbers.
    unsafe { bpf_probe_read_kernel((structure + offset as usize) as *const T) }.ok()
}
