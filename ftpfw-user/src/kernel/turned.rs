//! Telling the programs which sessions turned to TLS.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use ftpfw_common::abi::{keys::SessionKey, programs};
use nix::libc::c_int;

use super::{Kernel, syscall::bpf};

const BPF_PROG_TEST_RUN: c_int = 10;
/// Arguments of a raw tracepoint (`MAX_BPF_FUNC_ARGS` in `include/linux/bpf.h`).
const ARGUMENTS: usize = 12;

/// `union bpf_attr` for `BPF_PROG_TEST_RUN` (`linux/bpf.h`), as far as raw tracepoints go.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// What `forget` and `turned` are called with: the session that is meant, and room for more.
pub(super) fn arguments(session: &SessionKey) -> [u64; ARGUMENTS] {
    let mut arguments = [0; ARGUMENTS];
    arguments[..5].copy_from_slice(&session.words());
    arguments
}

/// Where the agent opens, the programs read nothing of what is said, and let in the data connections of
/// sessions under TLS all the same: this tells them which sessions are.
///
/// Its own handle of the program, as whoever follows sessions has no [`Kernel`]; aya can make one only from a
/// number, which takes CAP_SYS_ADMIN.
#[derive(Debug)]
pub struct Turned(OwnedFd);

impl Turned {
    /// For the programs of `kernel`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the program.
    pub fn new(kernel: &mut Kernel) -> anyhow::Result<Self> {
        let program = kernel.tracepoint(programs::TURNED)?.fd()?.as_fd();
        Ok(Self(program.try_clone_to_owned()?))
    }

    /// The session with this key and number is `opaque` from now on. Whether it is there, and was not so
    /// before.
    ///
    /// # Errors
    ///
    /// When the kernel does not run the program: before Linux 5.10.
    pub fn tell(&self, key: &SessionKey, id: u64, opaque: bool) -> io::Result<bool> {
        let mut arguments = arguments(key);
        (arguments[5], arguments[6]) = (id, u64::from(opaque));
        let mut attributes = TestRun {
            prog_fd: self.0.as_raw_fd().cast_unsigned(),
            ctx_size_in: size_of_val(&arguments) as u32,
            ctx_in: arguments.as_ptr().addr() as u64,
            ..TestRun::default()
        };
        // SAFETY: `TestRun` is the layout of this command's attributes, and the arguments, which it points
        // to, live until after the call.
        unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }?;
        Ok(attributes.retval != 0)
    }
}
