//! The eBPF objects by themselves: building them, linting them, looking into them.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use anyhow::{Context as _, Result, anyhow};

use crate::object::{self, Kernels};
use crate::phases::Phases;
use crate::toolchain::Toolchain;
use crate::{setup, workspace};

/// Every BPF instruction has this many bytes (a 64-bit immediate load takes two).
const INSTRUCTION: u64 = 8;

/// `cargo xtask build-ebpf`.
///
/// # Errors
/// When there is no toolchain, or with the compiler's errors.
pub fn build_and_report() -> Result<()> {
    let toolchain = setup::toolchain()?;
    println!("building with {toolchain}");
    for kernels in Kernels::ALL {
        report(&build(&toolchain, kernels)?)?;
    }
    Ok(())
}

fn report(object: &Path) -> Result<()> {
    println!("{}", object.display());
    let (subprograms, programs): (Vec<_>, Vec<_>) = functions(object)?
        .into_iter()
        .partition(|function| function.section == ".text");
    for Function {
        name,
        section,
        bytes,
    } in programs
    {
        println!(
            "  {name:<12} {section:<12} {:>5} instructions",
            bytes / INSTRUCTION
        );
    }
    let bytes: u64 = subprograms.iter().map(|function| function.bytes).sum();
    println!(
        "  {:<25} {:>5} instructions",
        format!("{} subprograms", subprograms.len()),
        bytes / INSTRUCTION
    );
    Ok(())
}

/// Lints the eBPF crate with the clippy of the compiler that builds it; says so if it has none.
///
/// # Errors
/// When clippy cannot be started.
pub fn lint(phases: &mut Phases) -> Result<()> {
    let toolchain = setup::toolchain()?;
    setup::ebpf_clippy(&toolchain)?;
    if !toolchain.compiler.bin.join("cargo-clippy").exists() {
        println!(
            "── lint ftpfw-ebpf: skipped, {} has no clippy",
            toolchain.compiler
        );
        return Ok(());
    }
    let target_dir = object::target_dir(&workspace::target());
    for kernels in Kernels::ALL {
        let mut command = object::cargo(&toolchain, "clippy", ARCH, TARGET);
        command
            .args(kernels.features())
            .arg("--target-dir")
            .arg(kernels.target_dir(&target_dir))
            .args(["--", "-D", "warnings"])
            .current_dir(workspace::root());
        phases.check(&format!("lint {}", kernels.file()), &mut command)?;
    }
    Ok(())
}

const TARGET: &str = if cfg!(target_endian = "big") {
    "bpfeb-unknown-none"
} else {
    "bpfel-unknown-none"
};

fn build(toolchain: &Toolchain, kernels: Kernels) -> Result<PathBuf> {
    let target_dir = object::target_dir(&workspace::target());
    let big_endian = cfg!(target_endian = "big");
    let root = workspace::root();
    let built = object::build(toolchain, root, &target_dir, ARCH, big_endian, kernels)
        .map_err(|error| anyhow!(error))?;
    eprint!("{}", built.warnings);
    Ok(built.object)
}

/// A function of the object. Programs have sections of their own, subprograms share `.text`.
struct Function {
    section: String,
    name: String,
    bytes: u64,
}

fn functions(object: &Path) -> Result<Vec<Function>> {
    let bytes = fs::read(object).with_context(|| format!("read {}", object.display()))?;
    let file =
        ::object::File::parse(&*bytes).with_context(|| format!("parse {}", object.display()))?;
    let mut functions = Vec::new();
    for symbol in file.symbols() {
        if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
            continue;
        }
        let Some(section) = symbol.section_index() else {
            continue;
        };
        functions.push(Function {
            section: file.section_by_index(section)?.name()?.to_owned(),
            name: symbol.name()?.to_owned(),
            bytes: symbol.size(),
        });
    }
    Ok(functions)
}
