//! `cargo xtask ci`: what a change must pass before it lands.

use anyhow::Result;

use crate::phases::Phases;
use crate::workspace::HOST;
use crate::{ebpf, setup, test, vm, workspace};

/// Format, lints, documentation, tests, and some of them on another kernel. Every check runs, whatever an earlier one found.
///
/// # Errors
/// When one fails, or something cannot be built at all.
pub fn run() -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", setup::everything)?;
    phases.check(
        "format",
        &mut workspace::cargo(&["fmt", "--all", "--check"]),
    )?;

    let mut clippy = workspace::cargo(&["clippy", "--all-targets"]);
    clippy.args(HOST).args(["--", "-D", "warnings"]);
    phases.check("lint", &mut clippy)?;
    ebpf::lint(&mut phases)?;

    let mut doc = workspace::cargo(&["doc", "--no-deps", "--document-private-items"]);
    // Private items are documented too, so that a link to one works.
    let flags = "-Dwarnings -Arustdoc::private_intra_doc_links";
    doc.args(HOST).env("RUSTDOCFLAGS", flags);
    phases.check("document", &mut doc)?;

    test::tests(&mut phases, &[])?;
    phases.attempt("smoke on Linux 6.12", vm::smoke);
    phases.finish()
}
