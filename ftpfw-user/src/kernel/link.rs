//! Detaching a pinned link for certain.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nix::libc::c_int;

use super::syscall::bpf;

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
    let mut attributes = LinkDetach {
        link_fd: link.as_raw_fd().cast_unsigned(),
    };
    // SAFETY: `LinkDetach` is the layout of this command's attributes.
    match unsafe { bpf(BPF_LINK_DETACH, &mut attributes) } {
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
    let mut attributes = ObjectGet {
        pathname: name.as_ptr().addr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: `ObjectGet` is the layout of this command's attributes, and `name`, which it points
    // to, lives until after the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut attributes) }?;
    // SAFETY: the command returns a descriptor of this process's own, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
