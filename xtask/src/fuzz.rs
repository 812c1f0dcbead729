//! `cargo xtask fuzz`: coverage-guided fuzzing of what reads hostile bytes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::transcript::Transcript;

use crate::phases::Phases;
use crate::workspace;

const TARGETS: [&str; 3] = ["packet", "engine", "stream"];
const CARGO_FUZZ: &str = "0.13.1";

/// Runs each target for `seconds`. Findings stay in tests/fuzz/artifacts.
///
/// # Errors
/// When cargo-fuzz cannot be installed, or a target finds something.
pub fn run(seconds: u32) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", install)?;
    let directory = workspace::root().join("tests/fuzz");
    seed(&directory.join("corpus/engine")).context("make the corpus")?;
    for target in TARGETS {
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(directory.parent().unwrap_or(&directory))
            // The stable compiler knows the sanitizer's flags, behind this.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--fuzz-dir", "fuzz", target, "--"])
            .arg(format!("-max_total_time={seconds}"))
            .args(["-print_final_stats=1", "-verbosity=0"]);
        phases.check(&format!("fuzz {target} for {seconds} s"), &mut fuzz)?;
    }
    phases.finish()
}

fn install() -> Result<()> {
    let there = Command::new("cargo").args(["fuzz", "--version"]).output();
    if there.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    println!("   installing cargo-fuzz {CARGO_FUZZ}, which runs the fuzzers");
    let status = Command::new("cargo")
        .args([
            "install",
            "--locked",
            "--quiet",
            "cargo-fuzz",
            "--version",
            CARGO_FUZZ,
        ])
        .status()
        .context("run cargo install")?;
    ensure!(
        status.success(),
        "cargo install cargo-fuzz failed: {status}"
    );
    Ok(())
}

/// The transcripts, in the form that the target `engine` reads.
fn seed(corpus: &Path) -> Result<()> {
    fs::create_dir_all(corpus)?;
    for transcript in Transcript::read_all(&workspace::root().join("tests/transcripts"))? {
        let mut input = Vec::new();
        for step in &transcript.steps {
            for chunk in step.bytes.chunks(0x7f) {
                input.push(chunk.len() as u8 | if step.direction as u8 == 0 { 0 } else { 0x80 });
                input.extend_from_slice(chunk);
            }
        }
        fs::write(corpus.join(&transcript.name), input)?;
    }
    Ok(())
}
