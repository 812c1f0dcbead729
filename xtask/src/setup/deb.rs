//! cargo-deb, which makes the package.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::programs;

use crate::workspace;

const VERSION: &str = "3.8.0";

/// The user's own, or one in target/tools, which is installed if it is not there.
///
/// # Errors
/// When it does not compile.
pub fn cargo_deb() -> Result<PathBuf> {
    if let Ok(installed) = programs::find("cargo-deb") {
        return Ok(installed);
    }
    let root = workspace::target().join("tools/cargo-deb");
    let program = root.join("bin/cargo-deb");
    if !program.is_file() {
        println!("setup: building cargo-deb {VERSION}: makes the package, takes 1 minute");
        let mut install = workspace::cargo(&["install", "--locked", "--quiet", "cargo-deb"]);
        install.args(["--version", VERSION, "--root"]).arg(&root);
        let status = install.status().context("run cargo install")?;
        ensure!(status.success(), "cargo install cargo-deb failed: {status}");
    }
    Ok(program)
}
