//! Compiles `ftpfw-ebpf` into the object that the kernel loads.
//!
//! A build script and `cargo xtask` both include this file; it uses the standard library only.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::toolchain::Toolchain;

/// What came out of a build that succeeded.
#[derive(Debug)]
pub struct Built {
    pub object: PathBuf,
    /// The compiler's warnings, as it printed them; empty if it had none.
    pub warnings: String,
}

/// Which kernels an object is for: `ftpfw-ebpf/src/kernel.rs` says what early ones lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Those that have all.
    Full,
    /// Those before 5.17.
    Early,
}

impl Kernels {
    /// Both objects are embedded.
    pub const ALL: [Self; 2] = [Self::Full, Self::Early];

    /// The file in `OUT_DIR`.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Full => "ftpfw-ebpf",
            Self::Early => "ftpfw-ebpf-early",
        }
    }

    /// What cargo is told.
    pub const fn features(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[],
            Self::Early => &["--features", "early"],
        }
    }

    /// A directory of its own for each: builds that meet must not take each other's object.
    pub fn target_dir(self, all: &Path) -> PathBuf {
        match self {
            Self::Full => all.to_owned(),
            Self::Early => all.join("early"),
        }
    }
}

/// Where the objects are compiled: one directory for every profile, since they do not depend
/// on how the host programs are built. Cargo locks it, so that builds that meet there wait.
pub fn target_dir(any_inner: &Path) -> PathBuf {
    // Cargo marks the root of its build directory with this file.
    any_inner
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .unwrap_or(any_inner)
        .join("ebpf")
}

/// Builds the object for kernels of `arch` (Rust's name of it). `big_endian` is the kernel's too.
///
/// # Errors
///
/// The compiler's own output, when it fails.
pub fn build(
    toolchain: &Toolchain,
    workspace: &Path,
    target_dir: &Path,
    arch: &str,
    big_endian: bool,
    kernels: Kernels,
) -> Result<Built, String> {
    let target = if big_endian {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    let target_dir = kernels.target_dir(target_dir);
    let mut cargo = cargo(toolchain, "build", arch, target);
    cargo
        .args(kernels.features())
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(workspace);
    let output = cargo
        .output()
        .map_err(|error| format!("{cargo:?} cannot be run: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!(
            "{log}\nftpfw-ebpf does not compile with {toolchain}"
        ));
    }
    let object = target_dir.join(target).join("release/ftpfw-ebpf");
    Ok(Built {
        object,
        warnings: log,
    })
}

/// The toolchain's `cargo COMMAND` (build or clippy) for the eBPF crate; the caller adds where.
pub fn cargo(toolchain: &Toolchain, command: &str, arch: &str, target: &str) -> Command {
    let bin = &toolchain.compiler.bin;
    // `cargo clippy` would run the first clippy in cargo's own bin directory, which belongs to the
    // host's compiler.
    let program = if command == "clippy" {
        "cargo-clippy"
    } else {
        "cargo"
    };
    let mut cargo = Command::new(bin.join(program));
    // This process may be a build script: what its cargo and clippy set is meant for the host.
    // The job server (CARGO_MAKEFLAGS) and where things are (CARGO_HOME, CARGO_NET_*, …) stay.
    let host_only = [
        "CARGO_PROFILE_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BUILD_",
        "CARGO_TARGET_",
    ];
    for (name, _) in env::vars_os() {
        if host_only
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            cargo.env_remove(name);
        }
    }
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "LD_LIBRARY_PATH",
    ] {
        cargo.env_remove(name);
    }
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        // BTF, without which the kernel accepts no callback of bpf_loop, is made from this.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // 32-bit jumps and an atomic add that returns (BPF_FETCH); Linux 5.12.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", toolchain.linker.path.display()),
    ];
    cargo
        .env("CARGO", bin.join("cargo"))
        .env("RUSTC", bin.join("rustc"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // build-std is not stabilised; a compiler that is not a nightly needs to be told.
        .env("RUSTC_BOOTSTRAP", "1")
        .args([
            command,
            "--quiet",
            "--release",
            "--locked",
            "--package",
            "ftpfw-ebpf",
        ])
        .args(["--target", target, "-Z", "build-std=core"]);
    cargo
}
