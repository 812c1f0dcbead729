//! Packages of Debian and Ubuntu.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::geteuid;

/// Installs packages, without what they only recommend.
///
/// # Errors
/// When apt fails, or this is not Debian or not root; the message says what to do then.
pub fn install(packages: &[&str], reason: &str) -> Result<()> {
    let names = packages.join(" ");
    may_install(&names, reason)?;
    update()?;
    println!("setup: installing {names} ({reason})");
    run(Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
}

/// Downloads a package into a directory without installing it.
///
/// # Errors
/// As [`install`].
pub fn download(package: &str, directory: &Path, reason: &str) -> Result<()> {
    may_install(package, reason)?;
    update()?;
    println!("setup: downloading {package} ({reason})");
    run(Command::new("apt-get")
        .args(["download", package])
        .current_dir(directory))
}

/// The version that would be installed; none when this is not Debian, has no such package, or only root can
/// install it.
///
/// # Errors
/// When apt fails.
pub fn candidate(package: &str) -> Result<Option<String>> {
    if !Path::new(APT_GET).exists() || !geteuid().is_root() {
        return Ok(None);
    }
    update()?;
    let policy = Command::new("apt-cache").args(["policy", package]).output();
    let output = policy.context("run apt-cache")?;
    let policy = String::from_utf8_lossy(&output.stdout);
    let mut lines = policy.lines();
    let version = lines.find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(version.filter(|it| *it != "(none)").map(str::to_owned))
}

/// Those that are not installed: `apt-get install` would upgrade the others.
pub fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let is_installed = |package: &&str| {
        let status = Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .output();
        status.is_ok_and(|output| output.stdout.starts_with(b"installed"))
    };
    let missing = packages.iter().filter(|package| !is_installed(package));
    missing.copied().collect()
}

/// Refreshes the lists of packages, once for each run and only if something is to be installed.
fn update() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let updated = *DONE.get_or_init(|| {
        println!("setup: reading the lists of packages");
        run(Command::new("apt-get").args(["update", "--quiet"])).is_ok()
    });
    ensure!(
        updated,
        "`apt-get update` failed: are the package sources reachable?"
    );
    Ok(())
}

const APT_GET: &str = "/usr/bin/apt-get";

/// Whether packages can be installed here.
///
/// # Errors
/// When this is not Debian or not root; the message says what to do then.
pub fn may_install(what: &str, reason: &str) -> Result<()> {
    if !Path::new(APT_GET).exists() {
        bail!(
            "{what} is missing ({reason}), and this is neither Debian nor Ubuntu: \
             install it with your package manager"
        );
    }
    if !geteuid().is_root() {
        bail!(
            "{what} is missing ({reason}), and only root can install it: \
             run `apt-get install {what}` or `cargo xtask setup` as root"
        );
    }
    Ok(())
}

/// Runs a command of apt; what it prints is shown only when it fails.
///
/// # Errors
/// When it cannot be started or fails; the message has what it said.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    let [said, failed] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    bail!("{command:?} failed:\n{said}{failed}");
}
