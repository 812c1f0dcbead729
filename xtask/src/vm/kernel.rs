//! Debian's kernels, fetched once and kept below `target/vm/kernels`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use super::sources::Suite;
use super::vmlinux;
use crate::setup::apt;

/// Which kernel: the newest that Debian has of that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Line {
    /// Debian 11's
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, as Debian 12 has it too
    #[value(name = "6.12")]
    V6_12,
    /// The newest that is built for Debian 13
    Latest,
}

impl Line {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Latest => "latest",
        }
    }

    /// The suite of Debian, and the package that depends on the newest of the line: names with a
    /// version vanish with the next update.
    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::V5_10 => ("bullseye-security", "linux-image-amd64"),
            Self::V6_1 => ("bookworm-security", "linux-image-amd64"),
            Self::V6_12 => ("bookworm-security", "linux-image-6.12-amd64"),
            Self::Latest => ("trixie-backports", "linux-image-amd64"),
        }
    }
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Which.
    pub line: Line,
    /// As `uname -r` says it.
    pub version: String,
    /// The kernel as an ELF file, which boots in half the time of a compressed one.
    pub vmlinux: PathBuf,
    /// Its modules, with the indices of `depmod`.
    pub modules: PathBuf,
}

/// Finds a kernel in the cache, or fetches it; `refresh`: whatever is there.
///
/// # Errors
/// When it cannot be had from Debian.
pub fn obtain(line: Line, cache: &Path, refresh: bool) -> Result<Kernel> {
    let directory = cache.join(line.name());
    if refresh || !directory.join(VERSION).exists() {
        let partial = cache.join(format!("{}.partial", line.name()));
        remove(&partial)?;
        fetch(line, &partial).with_context(|| format!("get the kernel {}", line.name()))?;
        remove(&directory)?;
        fs::rename(&partial, &directory).context("keep the kernel")?;
    }
    let version = fs::read_to_string(directory.join(VERSION)).context("read its version")?;
    Ok(Kernel {
        line,
        vmlinux: directory.join(VMLINUX),
        modules: directory.join("lib/modules").join(&version),
        version,
    })
}

const VERSION: &str = "version";
const VMLINUX: &str = "vmlinux";

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    Ok(())
}

fn fetch(line: Line, directory: &Path) -> Result<()> {
    let [packages, unpacked] = ["packages", "unpacked"].map(|name| directory.join(name));
    fs::create_dir_all(&packages).with_context(|| format!("make {}", packages.display()))?;
    let (suite, metapackage) = line.source();
    let suite = Suite::read(suite, &directory.join("apt"))?;
    let names = suite.kernel_packages(metapackage)?;
    println!("vm: downloading {}", names.join(" "));
    suite.download(&names, &packages)?;
    for package in fs::read_dir(&packages)? {
        let mut extract = Command::new("dpkg-deb");
        extract.arg("--extract").arg(package?.path()).arg(&unpacked);
        apt::run(&mut extract)?;
    }
    let modules = keep_modules(&unpacked, directory)?;
    let version = modules.file_name().context("modules have a version")?;
    let version = version.to_str().context("a version is text")?;
    let image = [
        unpacked.join(format!("boot/vmlinuz-{version}")),
        modules.join("vmlinuz"),
    ];
    let image = image.iter().find(|it| it.exists());
    vmlinux::extract(
        image.context("the packages have no kernel")?,
        &directory.join(VMLINUX),
    )?;
    index_modules(directory, version)?;
    for done_with in [&packages, &unpacked, &directory.join("apt")] {
        remove(done_with)?;
    }
    // Last: it says that all is there.
    fs::write(directory.join(VERSION), version).context("write the version")
}

/// Moves `lib/modules/VERSION` or, in newer packages, `usr/lib/modules/VERSION` to its place.
fn keep_modules(unpacked: &Path, directory: &Path) -> Result<PathBuf> {
    let to = directory.join("lib/modules");
    fs::create_dir_all(&to)?;
    for from in ["lib/modules", "usr/lib/modules"] {
        let Ok(entries) = fs::read_dir(unpacked.join(from)) else {
            continue;
        };
        if let Some(entry) = entries.flatten().next() {
            let to = to.join(entry.file_name());
            fs::rename(entry.path(), &to).context("move the modules")?;
            return Ok(to);
        }
    }
    ensure!(false, "the packages have no modules");
    Ok(to)
}

fn index_modules(directory: &Path, version: &str) -> Result<()> {
    let mut depmod = Command::new("/sbin/depmod");
    depmod.arg("-b").arg(directory).arg(version);
    let output = depmod.output().context("run depmod")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{depmod:?}: {}", said.trim());
    Ok(())
}
