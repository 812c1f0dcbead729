//! A Rust compiler with the sources of `core`.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::OLDEST;
use super::apt;
use crate::toolchain::major_minor;

const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Installs the distribution's compiler where it is new enough (Debian), else rustup's nightly.
///
/// # Errors
/// When neither can be had.
pub fn install(tried: &[String]) -> Result<()> {
    for reason in tried {
        println!("setup: {reason}");
    }
    let packaged = apt::candidate(DEBIAN[0])?;
    if packaged.is_some_and(|version| major_minor(&version) >= major_minor(OLDEST)) {
        return apt::install(&DEBIAN, "compiles the eBPF programs");
    }
    let nightly = [
        "toolchain",
        "install",
        "nightly",
        "--profile=minimal",
        "--component=rust-src",
    ];
    println!(
        "setup: rustup {} (compiles the eBPF programs)",
        nightly.join(" ")
    );
    let by_hand =
        "install rustup, then run `rustup toolchain install nightly --component rust-src`";
    let status = Command::new("rustup").args(nightly).status();
    let status = status.with_context(|| format!("rustup is not here: {by_hand}"))?;
    ensure!(
        status.success(),
        "rustup could not install it, and no package {} is new enough",
        DEBIAN[0]
    );
    Ok(())
}
