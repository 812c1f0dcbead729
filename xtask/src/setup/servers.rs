//! FTP servers and other programs of others, unpacked but not installed: their packages would start services on port 21,
//! and exclude each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::programs;

use super::apt;
use crate::workspace;

/// A program, unpacked into `target/tools/<program>`.
struct Server {
    program: &'static str,
    packages: &'static [&'static str],
    reason: &'static str,
    /// What makes it end at once and well: then it and all its libraries are there.
    harmless: &'static [&'static str],
}

const SERVER: &str = "an FTP server of the tests";

const SERVERS: [Server; 5] = [
    VSFTPD,
    Server {
        program: "proftpd",
        packages: &["proftpd-core", "proftpd-mod-crypto"],
        reason: SERVER,
        harmless: &["-v"],
    },
    Server {
        program: "pure-ftpd",
        packages: &["pure-ftpd"],
        reason: SERVER,
        harmless: &["--help"],
    },
    Server {
        program: "inetd",
        packages: &["openbsd-inetd"],
        reason: "starts FTP servers connection by connection in the tests",
        harmless: &[],
    },
    Server {
        program: "promtool",
        packages: &["prometheus"],
        reason: "reads the metrics in the tests",
        harmless: &["--version"],
    },
];

const SOCKET_ACTIVATE: Server = Server {
    program: "systemd-socket-activate",
    packages: &["systemd"],
    reason: "hands listeners to FTP servers in the tests",
    harmless: &["--version"],
};

const VSFTPD: Server = Server {
    program: "vsftpd",
    packages: &["vsftpd"],
    reason: "an FTP server of tests and demo",
    harmless: &["-v"],
};

/// Where vsftpd is, once unpacked.
pub fn vsftpd_path() -> PathBuf {
    VSFTPD.path()
}

/// Unpacks vsftpd, which the demo can show too.
///
/// # Errors
/// As [`unpack_all`].
pub fn unpack_vsftpd() -> Result<()> {
    VSFTPD.unpack()
}

/// Unpacks them, and installs the libraries that they need.
///
/// # Errors
/// When one cannot be downloaded or does not run afterwards.
pub fn unpack_all() -> Result<()> {
    SERVERS.iter().try_for_each(Server::unpack)?;
    // Where systemd runs it is there already.
    if programs::find(SOCKET_ACTIVATE.program).is_err() {
        SOCKET_ACTIVATE.unpack()?;
    }
    install_pyftpdlib()
}

/// The version that the tests were written with. Debian's 1.5.7 closes encrypted data connections
/// on which the client, as curl does, speaks before the transfer's command.
const PYFTPDLIB: &str = "pyftpdlib==2.2.0";

/// A library of Python, and what gives it TLS.
fn install_pyftpdlib() -> Result<()> {
    if !Path::new("/usr/lib/python3/dist-packages/OpenSSL").is_dir() {
        apt::install(&["python3-openssl"], "pyftpdlib needs it for TLS")?;
    }
    let directory = directory("pyftpdlib");
    if directory.join("pyftpdlib/__init__.py").is_file() {
        return Ok(());
    }
    // Not the first python3 of PATH: the laboratory runs the system's.
    let python = programs::find("python3")?;
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "--quiet"]);
        pip
    };
    let version = pip().arg("--version").output()?;
    if !version.status.success() {
        apt::install(&["python3-pip"], "installs pyftpdlib")?;
    }
    println!(
        "setup: installing {PYFTPDLIB} in {} ({SERVER})",
        directory.display()
    );
    let mut install = pip();
    install.args(["install", "--no-deps", "--target"]);
    let output = install.arg(&directory).arg(PYFTPDLIB).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{install:?}: {}", said.trim());
    Ok(())
}

impl Server {
    fn path(&self) -> PathBuf {
        let directories = ["usr/bin", "usr/sbin"].map(|bin| directory(self.program).join(bin));
        let [bin, sbin] = directories.map(|directory| directory.join(self.program));
        if bin.is_file() { bin } else { sbin }
    }

    fn unpack(&self) -> Result<()> {
        if self.runs() {
            return Ok(());
        }
        let directory = directory(self.program);
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        let mut depends = Vec::new();
        for package in self.packages {
            depends.push(extract(package, &directory, self.reason)?);
        }
        // Those of modules, too, which are missed only when a module is loaded.
        let needed: Vec<&str> = depends.iter().flat_map(|it| libraries(it)).collect();
        let missing = apt::missing(&needed);
        if !missing.is_empty() {
            apt::install(&missing, &format!("libraries of {}", self.program))?;
        }
        let path = self.path();
        ensure!(
            self.runs(),
            "{} is unpacked but does not run",
            path.display()
        );
        Ok(())
    }

    fn runs(&self) -> bool {
        let path = self.path();
        if self.harmless.is_empty() {
            return path.is_file();
        }
        let output = programs::command(&path).args(self.harmless).output();
        output.is_ok_and(|output| output.status.success())
    }
}

fn directory(program: &str) -> PathBuf {
    workspace::target().join("tools").join(program)
}

/// Downloads and extracts a package; what it says it depends on.
fn extract(package: &str, directory: &Path, reason: &str) -> Result<String> {
    apt::download(package, directory, reason)?;
    let file = downloaded(directory)?;
    dpkg_deb(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&file)
            .arg(directory),
    )?;
    let depends = dpkg_deb(
        Command::new("dpkg-deb")
            .arg("--field")
            .arg(&file)
            .arg("Depends"),
    )?;
    fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    Ok(depends)
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
