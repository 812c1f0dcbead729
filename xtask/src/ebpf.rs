//! The eBPF object by itself: building it, linting it, looking into it.

use std::collections::HashMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use anyhow::{Context as _, Result, anyhow};

use crate::object;
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
    let object = build(&toolchain)?;
    println!("{}", object.display());
    for (name, section, size) in programs(&object)? {
        println!(
            "  {name:<24} {section:<40} {:>6} instructions",
            size / INSTRUCTION
        );
    }
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
    let mut command = object::cargo(&toolchain, "clippy", ARCH, TARGET);
    command
        .arg("--target-dir")
        .arg(object::target_dir(&workspace::target()))
        .args(["--", "-D", "warnings"])
        .current_dir(workspace::root());
    phases.check("lint ftpfw-ebpf", &mut command)
}

const TARGET: &str = if cfg!(target_endian = "big") {
    "bpfeb-unknown-none"
} else {
    "bpfel-unknown-none"
};

fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let target_dir = object::target_dir(&workspace::target());
    let big_endian = cfg!(target_endian = "big");
    let built = object::build(toolchain, workspace::root(), &target_dir, ARCH, big_endian)
        .map_err(|error| anyhow!(error))?;
    eprint!("{}", built.warnings);
    Ok(built.object)
}

/// The programs of an object: name, section, bytes. A subprogram lies in `.text`.
fn programs(object: &Path) -> Result<Vec<(String, String, u64)>> {
    let bytes = fs::read(object).with_context(|| format!("read {}", object.display()))?;
    let file =
        ::object::File::parse(&*bytes).with_context(|| format!("parse {}", object.display()))?;
    let sections: HashMap<_, _> = file
        .sections()
        .map(|section| Ok((section.index(), section.name()?.to_owned())))
        .collect::<Result<_, ::object::Error>>()?;
    let mut programs = Vec::new();
    for symbol in file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
    {
        let section = symbol
            .section_index()
            .and_then(|index| sections.get(&index));
        if let (Some(section), true) = (section, symbol.size() > 0) {
            programs.push((symbol.name()?.to_owned(), section.clone(), symbol.size()));
        }
    }
    programs.sort_by(|left, right| (&left.1, &left.0).cmp(&(&right.1, &right.0)));
    Ok(programs)
}
