//! `cargo xtask setup`: finds what is missing, says what it is for, and installs it.
//!
//! What is there already is left alone, so that every task can call this first: with nothing
//! missing it takes a few hundred milliseconds.

pub mod apt;
mod compiler;
mod deb;
mod kernel;
mod linker;
pub mod servers;

use std::path::Path;

use anyhow::{Context as _, Result};
use ftpfw_tests::programs;

use crate::toolchain::{self, Missing, Toolchain};
pub use deb::cargo_deb;

/// A program of the system: the package that has it, and who needs it.
type Program = (&'static str, &'static str, &'static str);

/// What makes and tears down network namespaces.
pub const NETWORK: [Program; 2] = [
    (
        "ip",
        "iproute2",
        "makes the network namespaces of tests and demo",
    ),
    ("nsenter", "util-linux", "runs ftpfw inside a namespace"),
];

/// The FTP clients of the tests.
const CLIENTS: [Program; 5] = [
    ("curl", "curl", "an FTP client of the tests"),
    ("lftp", "lftp", "an FTP client of the tests"),
    ("tnftp", "tnftp", "an FTP client of the tests"),
    ("wget", "wget", "an FTP client of the tests"),
    (
        "python3",
        "python3",
        "its ftplib is an FTP client of the tests",
    ),
];

/// What runs the tests on other kernels.
const VIRTUAL_MACHINES: [Program; 5] = [
    (
        crate::vm::QEMU,
        "qemu-system-x86",
        "runs the tests on other kernels",
    ),
    ("depmod", "kmod", "indexes the modules of those kernels"),
    ("xz", "xz-utils", "decompresses kernels and modules"),
    ("zstd", "zstd", "decompresses kernels"),
    ("lz4", "lz4", "decompresses kernels"),
];

/// What ftpfw is held against: the kernel's own FTP helper.
const CONNTRACK: [Program; 2] = [
    (
        "nft",
        "nftables",
        "attaches the kernel's FTP helper for a test",
    ),
    (
        "conntrack",
        "conntrack",
        "lists what the kernel's FTP helper expects",
    ),
];

/// What looks at the package.
const PACKAGING: [Program; 1] = [(
    "systemd-analyze",
    "systemd",
    "verifies the unit of the package",
)];

/// Other peers, and what a veth needs for them.
const PEERS: [Program; 2] = [
    (
        "xdp-filter",
        "xdp-tools",
        "a firewall that ftpfw is measured against",
    ),
    ("ethtool", "ethtool", "prepares cables for benchmarks"),
];

/// All that building and testing need.
///
/// # Errors
/// When something is missing and cannot be installed; the message says what to do.
pub fn everything() -> Result<()> {
    let toolchain = toolchain()?;
    println!("setup: {toolchain}");
    system_programs(&NETWORK)?;
    system_programs(&CLIENTS)?;
    system_programs(&CONNTRACK)?;
    system_programs(&PACKAGING)?;
    cargo_deb()?;
    servers::unpack_all()?;
    kernel::mount()?;
    println!("setup: everything is there");
    Ok(())
}

/// What ftpfw is measured against.
///
/// # Errors
/// As [`everything`].
pub fn peers() -> Result<()> {
    system_programs(&CONNTRACK)?;
    system_programs(&PEERS)
}

/// What building the product needs.
///
/// # Errors
/// As [`everything`].
pub fn toolchain() -> Result<Toolchain> {
    // A compiler may be missing, then its linker: two installations at most.
    for _ in 0..2 {
        match toolchain::find(OLDEST) {
            Ok(toolchain) => return Ok(toolchain),
            Err(Missing::Compiler(tried)) => compiler::install(&tried)?,
            Err(Missing::Linker { compiler, why }) => linker::install(&compiler, &why)?,
        }
    }
    toolchain::find(OLDEST).context("after installing what was missing")
}

/// The oldest compiler that this workspace supports.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What running ftpfw in namespaces needs.
///
/// # Errors
/// As [`everything`].
pub fn laboratory() -> Result<()> {
    system_programs(&NETWORK)?;
    kernel::mount()
}

/// What running other kernels needs.
///
/// # Errors
/// As [`everything`].
pub fn virtual_machines() -> Result<()> {
    system_programs(&VIRTUAL_MACHINES)?;
    if !Path::new(crate::vm::KEYS).exists() {
        apt::install(
            &["debian-archive-keyring"],
            "tells whether kernels are Debian's",
        )?;
    }
    Ok(())
}

/// The clippy of the compiler that builds the eBPF object, where a package has it.
///
/// # Errors
/// As [`everything`].
pub fn ebpf_clippy(toolchain: &Toolchain) -> Result<()> {
    let bin = &toolchain.compiler.bin;
    if bin != Path::new("/usr/bin") || bin.join("cargo-clippy").exists() {
        return Ok(());
    }
    apt::install(&["rust-web-clippy"], "lints the eBPF programs")
}

fn system_programs(wanted: &[Program]) -> Result<()> {
    for (program, package, reason) in wanted {
        if programs::find(program).is_err() {
            apt::install(&[package], reason)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::toolchain::{Missing, major_minor};

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_minor("1.96.0+dfsg1-1~deb12u2"), (1, 96));
        assert_eq!(major_minor("1.97.0-nightly"), (1, 97));
        assert_eq!(major_minor(".so.22.1"), (0, 0));
        assert!(major_minor("1.100.0") > major_minor("1.95"));
    }

    #[test]
    fn a_missing_toolchain_names_each_place_and_the_way_to_get_one() {
        let missing = Missing::Compiler(vec!["nightly: no rust-src".to_owned()]).to_string();
        assert!(missing.contains("nightly: no rust-src"));
        assert!(missing.contains("cargo xtask setup"));
    }
}
