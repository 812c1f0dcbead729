//! Kernels without `bpf_loop`, and the programs for them (`ftpfw-ebpf/src/kernel.rs`).

use std::io::{self, Write as _};
use std::process::Command;

/// The variable by which ftpfw takes these programs on any kernel, and its value.
pub const VARIABLE: (&str, &str) = ("FTPFW_PROGRAMS", "early");

/// The same command, with these programs.
pub fn early(command: &mut Command) -> &mut Command {
    command.env(VARIABLE.0, VARIABLE.1)
}

/// Where the programs cannot open (`can_open`, as ftpfw itself finds it), says aloud what is not looked at
/// there: the harness hides only what goes through its own macros.
#[must_use]
pub fn can_open_or_say(can_open: bool, what: &str) -> bool {
    if !can_open {
        let said = writeln!(
            io::stderr(),
            "SKIPPED, as this kernel has no bpf_loop: {what}"
        );
        said.expect("standard error can be written to");
    }
    can_open
}
