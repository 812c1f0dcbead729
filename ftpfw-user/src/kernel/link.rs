//! Detaching a pinned link for certain: the two commands of bpf(2) that aya has no call for.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nix::libc::{SYS_bpf, c_int, syscall};

const BPF_OBJ_GET: c_int = 7;
const BPF_LINK_DETACH: c_int = 34;

/// `union bpf_attr` for `BPF_OBJ_GET` (`linux/bpf.h`).
#[repr(C)]
struct ObjectGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// `union bpf_attr` for `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// Detaches the link that is pinned at `path`: when this returns, its program sees no more packets,
/// whoever else has the link open. Removing the pin alone would leave that to a worker of the
/// kernel, some time later.
///
/// # Errors
///
/// `NotFound` when nothing is pinned there; what the kernel says when the object is no link or
/// cannot be detached. A link whose interface is gone, and one of a tracepoint, end with their last
/// reference: nothing is done to them, without an error.
pub(super) fn detach(path: &Path) -> io::Result<()> {
    let link = get(path)?;
    let attributes = LinkDetach {
        link_fd: link.as_raw_fd().cast_unsigned(),
    };
    // SAFETY: `LinkDetach` is the layout of this command's attributes.
    match unsafe { bpf(BPF_LINK_DETACH, &attributes) } {
        Err(error) if is_moot(&error) => Ok(()),
        result => result.map(|_| ()),
    }
}

fn is_moot(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EOPNOTSUPP | nix::libc::ENOLINK)
    )
}

/// Opens the object pinned at `path`.
fn get(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectGet {
        pathname: name.as_ptr().addr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: `ObjectGet` is the layout of this command's attributes, and `name`, which it points
    // to, lives until after the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &attributes) }?;
    // SAFETY: the command returns a descriptor of this process's own, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
///
/// `attributes` is laid out as the kernel's `bpf_attr` for `command`, and what it points to is
/// valid.
unsafe fn bpf<T>(command: c_int, attributes: &T) -> io::Result<c_int> {
    // SAFETY: the kernel reads no more of the attributes than the size that it is told.
    let result = unsafe {
        syscall(
            SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    match c_int::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
