//! `cargo xtask package`: a package for Debian and Ubuntu, made by cargo-deb.
//!
//! What goes into it stands in ftpfw-user/Cargo.toml under `package.metadata.deb`, and what runs when it
//! is installed or removed in packaging/debian. Completions and manual pages are printed by the program
//! that is packed, so that they cannot disagree with it.

mod trial;

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::phases::Phases;
use crate::{setup, test, workspace};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Builds the package, and installs and removes it in a directory if it is to be tested.
///
/// # Errors
/// When cargo-deb cannot be installed, something does not build, or the test fails.
pub fn run(tested: bool) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", || {
        setup::toolchain()?;
        setup::cargo_deb()
    })?;
    test::build_ftpfw(&mut phases)?;
    let package = phases.step("pack", || make(&[]))?;
    if tested {
        phases.step("install, upgrade and remove the package", || {
            trial::all(&package)
        })?;
    }
    phases.finish()?;
    println!("{}", package.display());
    Ok(())
}

/// Packs what has been built, with less compression than a package that is kept, and tries it. Nothing stays.
///
/// # Errors
/// With what is wrong with it, or when it cannot be made.
pub fn make_and_try() -> Result<()> {
    let directory = TempDir::with_prefix("ftpfw-package-")?;
    let output = OsStr::new("--output");
    trial::all(&make(&[
        OsStr::new("--fast"),
        output,
        directory.path().as_os_str(),
    ])?)
}

/// The package of what has been built, by cargo-deb with these options.
fn make(options: &[&OsStr]) -> Result<PathBuf> {
    let ftpfw = workspace::target().join("release/ftpfw");
    documents(&ftpfw, &workspace::target().join("release/package"))?;
    pack(&setup::cargo_deb()?, options)
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
fn pack(cargo_deb: &Path, options: &[&OsStr]) -> Result<PathBuf> {
    let mut deb = Command::new(cargo_deb);
    // As a subcommand of cargo it is called with its own name first.
    deb.args(["deb", "--no-build", "--locked", "--package=ftpfw-user"])
        .args(options)
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target())
        .stderr(Stdio::inherit());
    if let Some(cargo) = env::var_os("CARGO") {
        deb.env("CARGO", cargo);
    }
    if let Some(maintainer) = maintainer() {
        deb.arg("--maintainer").arg(maintainer);
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

/// Who answers for the package: whoever makes it, if the variables say so that Debian's own tools read (debchange(1)).
/// Without them nobody does, and the address in Cargo.toml is one that cannot exist (RFC 2606 §2).
fn maintainer() -> Option<String> {
    let (name, email) = (env::var("DEBFULLNAME").ok()?, env::var("DEBEMAIL").ok()?);
    Some(format!("{name} <{email}>"))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
