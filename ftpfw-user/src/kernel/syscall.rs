//! bpf(2), for the commands that aya has no call for, or not the one that is wanted.

use std::io;

use nix::libc::{SYS_bpf, c_int, syscall};

/// What the command returns, which is never below zero.
///
/// # Errors
///
/// Those of the kernel.
///
/// # Safety
///
/// `attributes` is laid out as the kernel's `bpf_attr` for `command`, and what it points to is
/// valid.
pub(super) unsafe fn bpf<T>(command: c_int, attributes: &mut T) -> io::Result<c_int> {
    // SAFETY: the kernel reads and writes no more of the attributes than the size that it is told.
    let result = unsafe {
        syscall(
            SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    match c_int::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
