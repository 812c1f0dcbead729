//! `cargo xtask package`: a package for Debian and Ubuntu, made by cargo-deb.
//!
//! What goes into it stands in ftpfw-user/Cargo.toml under `package.metadata.deb`, and what runs when it
//! is installed or removed in packaging/debian. Completions and manual pages are printed by the program
//! that is packed, so that they cannot disagree with it.

mod trial;

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::programs;

use crate::phases::Phases;
use crate::test;
use crate::workspace;

const CARGO_DEB: &str = "3.8.0";
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Builds the package, and installs and removes it in a directory if it is to be tested.
///
/// # Errors
/// When cargo-deb cannot be installed, something does not build, or the test fails.
pub fn run(tested: bool) -> Result<()> {
    let mut phases = Phases::default();
    let cargo_deb = phases.step("set up", cargo_deb)?;
    test::build_ftpfw(&mut phases)?;
    let ftpfw = workspace::target().join("release/ftpfw");
    let generated = workspace::target().join("release/package");
    phases.step("print completions and manual pages", || {
        documents(&ftpfw, &generated)
    })?;
    let package = phases.step("pack", || pack(&cargo_deb))?;
    if tested {
        phases.step("install, upgrade and remove it", || trial::all(&package))?;
    }
    phases.finish()?;
    println!("{}", package.display());
    Ok(())
}

/// cargo-deb: the user's own, or one in target/tools.
fn cargo_deb() -> Result<PathBuf> {
    if let Ok(installed) = programs::find("cargo-deb") {
        return Ok(installed);
    }
    let root = workspace::target().join("tools/cargo-deb");
    let program = root.join("bin/cargo-deb");
    if !program.is_file() {
        println!("   installing cargo-deb {CARGO_DEB}, which makes the package");
        let mut install = workspace::cargo(&["install", "--locked", "--quiet", "cargo-deb"]);
        install.args(["--version", CARGO_DEB, "--root"]).arg(&root);
        let status = install.status().context("run cargo install")?;
        ensure!(status.success(), "cargo install cargo-deb failed: {status}");
    }
    Ok(program)
}

/// Writes `completions/ftpfw.SHELL` and `man/*.1.gz` below `directory`, in place of older ones.
fn documents(ftpfw: &Path, directory: &Path) -> Result<()> {
    let (completions, man) = (directory.join("completions"), directory.join("man"));
    if directory.exists() {
        // A verb that is gone has no page any more.
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(&completions)?;
    for shell in SHELLS {
        let file = File::create(completions.join(format!("ftpfw.{shell}")))?;
        succeed(
            Command::new(ftpfw)
                .args(["completions", shell])
                .stdout(file),
        )?;
    }
    succeed(Command::new(ftpfw).args(["man", "--dir"]).arg(&man))?;
    // cargo-deb does so only to what does not lie in the target directory (Debian Policy, 12.1).
    let pages = fs::read_dir(&man)?.map(|page| page.map(|it| it.path()));
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "--no-name"]);
    succeed(gzip.args(pages.collect::<io::Result<Vec<_>>>()?))
}

/// The package that cargo-deb makes of what has been built.
fn pack(cargo_deb: &Path) -> Result<PathBuf> {
    let mut deb = Command::new(cargo_deb);
    // As a subcommand of cargo it is called with its own name first.
    deb.args(["deb", "--no-build", "--locked", "--package=ftpfw-user"])
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target())
        .stderr(Stdio::inherit());
    if let Some(cargo) = env::var_os("CARGO") {
        deb.env("CARGO", cargo);
    }
    let output = deb.output().context("run cargo-deb")?;
    ensure!(output.status.success(), "cargo-deb: {}", output.status);
    let printed = String::from_utf8(output.stdout)?;
    let package = printed
        .lines()
        .rfind(|line| line.ends_with(".deb"))
        .context("cargo-deb names no package")?;
    let package = PathBuf::from(package.trim());
    ensure!(package.is_file(), "{} is not there", package.display());
    Ok(package)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
