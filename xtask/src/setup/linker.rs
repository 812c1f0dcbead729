//! bpf-linker, built against the LLVM that the compiler has.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::apt;
use crate::toolchain::Compiler;
use crate::workspace;

/// The version that ftpfw is built and tested with.
const VERSION: &str = "0.13.0";

/// The LLVM versions that it can be built against.
const LLVM: RangeInclusive<u32> = 21..=23;

/// Installs LLVM's development files and bpf-linker for them.
///
/// # Errors
/// When there is no package of that LLVM, or bpf-linker does not compile.
pub fn install(compiler: &Compiler, why: &str) -> Result<()> {
    println!("setup: {why}");
    let llvm = compiler.llvm;
    ensure!(
        LLVM.contains(&llvm),
        "bpf-linker {VERSION} knows LLVM {LLVM:?}, but {compiler} has LLVM {llvm}: \
         name another toolchain in {}",
        crate::toolchain::OVERRIDE
    );
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !has_development_files(&prefix, llvm) {
        install_llvm(compiler)?;
    }
    println!(
        "setup: building bpf-linker {VERSION} for LLVM {llvm}: links the eBPF programs, takes 2 minutes"
    );
    let feature = format!("--features=llvm-{llvm}");
    let mut cargo = workspace::cargo(&["install", "bpf-linker", "--version", VERSION]);
    cargo
        .args([
            "--locked",
            "--force",
            "--quiet",
            "--no-default-features",
            &feature,
        ])
        // llvm-sys looks for the first, bpf-linker's build script for the second; without them a
        // machine with several LLVMs gets the one whose llvm-config comes first.
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
        .env("LLVM_PREFIX", &prefix);
    if !cargo.status()?.success() {
        bail!(
            "bpf-linker {VERSION} could not be built with {}",
            prefix.display()
        );
    }
    Ok(())
}

fn has_development_files(prefix: &Path, llvm: u32) -> bool {
    prefix.join("bin/llvm-config").exists()
        && prefix.join(format!("lib/libLLVM-{llvm}.so")).exists()
}

fn install_llvm(compiler: &Compiler) -> Result<()> {
    let llvm = compiler.llvm;
    let package = format!("llvm-{llvm}-dev");
    let reason = "bpf-linker is built against it";
    apt::may_install(&package, reason)?;
    if apt::candidate(&package)?.is_none() {
        bail!(
            "bpf-linker must be built against LLVM {llvm}, as {compiler} has it, and there is no \
             package {package} here: install bpf-linker {VERSION} as its project built it (`cargo \
             binstall bpf-linker@{VERSION}`, or from its releases on GitHub), so that \
             `bpf-linker --version` works, or LLVM {llvm}; then run `cargo xtask setup` again"
        );
    }
    apt::install(&[&package, "g++"], reason)
}
