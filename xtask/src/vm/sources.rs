//! Debian's packages, of other releases than the host's too: an apt with directories of its own, that
//! leaves the host's lists and packages alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup::apt;

/// Debian's signing keys, of the older releases too (package debian-archive-keyring).
pub const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite of Debian, with the mirror that the host uses, or Debian's own.
pub struct Suite {
    name: &'static str,
    config: PathBuf,
}

impl Suite {
    /// Reads the lists of `name` into a directory.
    ///
    /// # Errors
    /// When the host has no apt, or the mirror no such suite (any more).
    pub fn read(name: &'static str, directory: &Path) -> Result<Self> {
        let mirror = mirror(name.ends_with("-security"))?;
        for made in ["lists/partial", "cache/archives/partial"] {
            let made = directory.join(made);
            fs::create_dir_all(&made).with_context(|| format!("make {}", made.display()))?;
        }
        let list = directory.join("sources.list");
        fs::write(
            &list,
            format!("deb [arch=amd64 signed-by={KEYS}] {mirror} {name} main\n"),
        )?;
        let config = directory.join("apt.conf");
        fs::write(&config, configuration(directory))?;
        let suite = Self { name, config };
        let update = apt::run(suite.command("apt-get").args(["update", "--quiet"]));
        update.with_context(|| format!("read the packages of {name}"))?;
        Ok(suite)
    }

    /// The packages of one kernel, which the metapackage depends on: its files are in one or in several.
    ///
    /// # Errors
    /// When the suite has no such metapackage.
    pub fn kernel_packages(&self, metapackage: &str) -> Result<Vec<String>> {
        let mut depends = self.command("apt-cache");
        depends.args(["depends", "--recurse", "--important", metapackage]);
        let output = depends.output().context("run apt-cache")?;
        let depends = String::from_utf8_lossy(&output.stdout);
        let packages: Vec<String> = depends
            .lines()
            .filter(|line| *line != metapackage && is_of_a_kernel(line))
            .map(str::to_owned)
            .collect();
        ensure!(
            packages.iter().any(|it| it.starts_with(IMAGE)),
            "{} has no kernel behind {metapackage}",
            self.name
        );
        Ok(packages)
    }

    /// Downloads packages.
    ///
    /// # Errors
    /// When apt cannot, or their signatures are wrong.
    pub fn download(&self, packages: &[String], to: &Path) -> Result<()> {
        let mut download = self.command("apt-get");
        download.arg("download").args(packages).current_dir(to);
        apt::run(&mut download)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

/// What the package's name of a kernel's image begins with; the version follows.
pub const IMAGE: &str = "linux-image-";

/// Not a metapackage, and nothing of the user space.
fn is_of_a_kernel(package: &str) -> bool {
    [IMAGE, "linux-binary-", "linux-modules-", "linux-base-"]
        .iter()
        .filter_map(|prefix| package.strip_prefix(prefix))
        .any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "Dir::Etc::SourceList \"{directory}/sources.list\";\n\
         Dir::Etc::SourceParts \"-\";\n\
         Dir::State::Lists \"{directory}/lists\";\n\
         Dir::State::status \"/dev/null\";\n\
         Dir::Cache \"{directory}/cache\";\n\
         APT::Sandbox::User \"root\";\n"
    )
}

/// Where the host gets its Debian from, or its security updates; if it is another system, Debian's mirrors.
fn mirror(security: bool) -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(CODENAME) $(REPO_URI)",
    ]);
    let output = targets.output();
    let output = output.context("the kernels are Debian's, fetched with apt: run apt-get")?;
    let targets = String::from_utf8_lossy(&output.stdout);
    let mut mirrors = targets.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (origin, release, mirror) = (words.next()?, words.next()?, words.next()?);
        let right = origin == "Debian" && release.ends_with("-security") == security;
        right.then_some(mirror)
    });
    let own = if security { SECURITY } else { DEBIAN };
    Ok(mirrors.next().unwrap_or(own).to_owned())
}

const DEBIAN: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_a_kernel_have_its_version() {
        for package in [
            "linux-image-6.1.0-56-amd64",
            "linux-binary-7.3.4+deb13-amd64",
        ] {
            assert!(is_of_a_kernel(package), "{package}");
        }
        for package in [
            "linux-image-amd64",
            "linux-base",
            "kmod",
            "  Depends: linux-image-6.1",
        ] {
            assert!(!is_of_a_kernel(package), "{package}");
        }
    }
}
