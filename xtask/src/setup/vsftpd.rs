//! vsftpd, unpacked but not installed: its package would start a service on port 21.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::programs;

use super::apt;
use crate::workspace;

const REASON: &str = "an FTP server of tests and demo";

/// Where its binary is, once unpacked.
pub fn path() -> PathBuf {
    directory().join("usr/sbin/vsftpd")
}

fn directory() -> PathBuf {
    workspace::target().join("tools/vsftpd")
}

/// Unpacks it, and installs the libraries that it needs.
///
/// # Errors
/// When it cannot be downloaded or does not run afterwards.
pub fn unpack() -> Result<()> {
    if runs() {
        return Ok(());
    }
    let directory = directory();
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    apt::download("vsftpd", &directory, REASON)?;
    let package = downloaded(&directory)?;
    dpkg_deb(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(&directory),
    )?;
    if !runs() {
        let depends = dpkg_deb(
            Command::new("dpkg-deb")
                .arg("--field")
                .arg(&package)
                .arg("Depends"),
        )?;
        apt::install(&libraries(&depends), "libraries of vsftpd")?;
    }
    fs::remove_file(&package).with_context(|| format!("remove {}", package.display()))?;
    ensure!(runs(), "{} is unpacked but does not run", path().display());
    Ok(())
}

/// It prints its version: then it and all its libraries are there.
fn runs() -> bool {
    let version = programs::command(&path()).arg("-v").output();
    version.is_ok_and(|output| output.status.success())
}

fn downloaded(directory: &Path) -> Result<PathBuf> {
    fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get left no package in {}", directory.display()))
}

/// The shared libraries in a `Depends` field: "libc6 (>= 2.34), libpam0g, debconf | cdebconf".
fn libraries(depends: &str) -> Vec<&str> {
    depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter(|name| name.starts_with("lib") && !name.ends_with("-modules"))
        .collect()
}

fn dpkg_deb(command: &mut Command) -> Result<String> {
    let output = command.output().context("run dpkg-deb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_of_the_dependencies_are_installed() {
        let depends = "debconf (>= 0.5) | debconf-2.0, libc6 (>= 2.34), libpam0g (>= 0.99), adduser, libpam-modules, netbase\n";
        assert_eq!(libraries(depends), ["libc6", "libpam0g"]);
    }
}
