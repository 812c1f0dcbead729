//! Where the workspace is, and its cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use ftpfw_tests::programs;

/// The directory of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    programs::target_directory().unwrap_or_else(|| root().join("target"))
}

/// All crates of the host, with the embedded server. Every build but the product's own selects the
/// same, even to make one binary of it: cargo compiles a dependency once for each set of features,
/// and with fewer packages the sets would differ. ftpfw-ebpf is for another target and compiler.
pub const HOST: [&str; 4] = [
    "--locked",
    "--workspace",
    "--exclude=ftpfw-ebpf",
    "--features=ftpfw-tests/embedded-server",
];

/// The cargo that runs this program, in the workspace. It does not see what the outer one said of
/// this package: build scripts that look at such variables (ring's) would run again whenever cargo is
/// called from here after a call from a shell, and all that depends on them would be compiled again.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let is_of_package = |prefix| name.to_string_lossy().starts_with(prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .into_iter()
            .any(is_of_package)
        {
            cargo.env_remove(name);
        }
    }
    cargo
}
