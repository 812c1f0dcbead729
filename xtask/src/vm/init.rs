//! Building process 1 of the machines.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::workspace;

/// Named although it is the host's: then the flags below are not those of build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds `tests/vm-init` without need of any library, apart from everything else: cargo would build
/// all anew whenever the flags change.
///
/// # Errors
/// When it does not compile.
pub fn build() -> Result<PathBuf> {
    let directory = workspace::target().join("vm/init");
    let mut cargo = workspace::cargo(&["build", "--locked", "--release"]);
    cargo.args(["--package=ftpfw-vm-init", "--target", TARGET]);
    cargo.arg("--target-dir").arg(&directory);
    for setting in [
        "target.x86_64-unknown-linux-gnu.rustflags=['-Ctarget-feature=+crt-static']",
        "profile.release.strip=true",
    ] {
        cargo.args(["--config", setting]);
    }
    // They would go before the setting.
    cargo.env_remove("RUSTFLAGS");
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    ensure!(cargo.status()?.success(), "it does not compile");
    Ok(directory.join(TARGET).join("release/ftpfw-vm-init"))
}
