//! The package, installed and removed by dpkg in a directory of its own: nothing of this machine is
//! touched, neither its database of packages nor its service manager.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::programs;
use tempfile::TempDir;

const CONFIGURATION: &str = "etc/ftpfw.toml";
const UNIT: &str = "usr/lib/systemd/system/ftpfw.service";
/// What `systemctl enable` makes.
const ENABLED: &str = "etc/systemd/system/sysinit.target.wants/ftpfw.service";

/// Runs all trials.
///
/// # Errors
/// With what is wrong with the package.
pub fn all(package: &Path) -> Result<()> {
    installed_as_it_comes(package).context("installed where there was nothing")?;
    configured_before(package).context("installed where a configuration names an interface")
}

fn installed_as_it_comes(package: &Path) -> Result<()> {
    let root = Root::new()?;
    let said = root.install(package)?;
    ensure!(said.contains("names no interface"), "it said {said:?}");
    ensure!(!root.has(ENABLED), "the service is enabled");
    files_are_in_place(&root)?;
    links_lead_somewhere(&root)?;
    program_runs(&root)?;
    unit_is_verified(&root)?;

    let edited = "# mine\ncontrol_ports = [2121]\n";
    fs::write(root.path(CONFIGURATION), edited)?;
    root.install(package)?;
    let kept = fs::read_to_string(root.path(CONFIGURATION))?;
    ensure!(kept == edited, "an upgrade changed {CONFIGURATION}: {kept}");

    root.dpkg(&["--remove", "ftpfw"])?;
    let left = root.files()?;
    let expected = BTreeSet::from([PathBuf::from(CONFIGURATION)]);
    ensure!(left == expected, "a removal left {left:?}");
    root.dpkg(&["--purge", "ftpfw"])?;
    let left = root.files()?;
    ensure!(left.is_empty(), "a purge left {left:?}");
    Ok(())
}

fn configured_before(package: &Path) -> Result<()> {
    let root = Root::new()?;
    fs::create_dir(root.path("etc"))?;
    fs::write(root.path(CONFIGURATION), "interfaces = [\"eth0\"]\n")?;
    let said = root.install(package)?;
    ensure!(!said.contains("names no interface"), "it said {said:?}");
    ensure!(root.has(ENABLED), "the service is not enabled: {said:?}");
    root.dpkg(&["--purge", "ftpfw"])?;
    let left = root.files()?;
    ensure!(left.is_empty(), "a purge left {left:?}");

    fs::create_dir_all(root.path("etc"))?;
    fs::write(root.path(CONFIGURATION), "interfaces = [\"eth0\"\n")?;
    let said = root.install(package)?;
    ensure!(said.contains("is wrong"), "it said {said:?}");
    ensure!(!root.has(ENABLED), "enabled with a wrong configuration");
    Ok(())
}

fn files_are_in_place(root: &Root) -> Result<()> {
    for file in [
        "usr/sbin/ftpfw",
        UNIT,
        CONFIGURATION,
        "usr/share/bash-completion/completions/ftpfw",
        "usr/share/zsh/vendor-completions/_ftpfw",
        "usr/share/fish/vendor_completions.d/ftpfw.fish",
        "usr/share/man/man1/ftpfw.1.gz",
        "usr/share/man/man1/ftpfw-run.1.gz",
        "usr/share/doc/ftpfw/copyright",
        // The unit names it.
        "usr/share/doc/ftpfw/docs/configuration.md",
        "usr/share/doc/ftpfw/docs/monitoring/ftpfw-alerts.yml",
        "usr/share/doc/ftpfw/README.md",
    ] {
        let path = root.path(file);
        let size = fs::metadata(&path).map(|metadata| metadata.len());
        ensure!(size.is_ok_and(|size| size > 0), "/{file} is missing");
    }
    Ok(())
}

/// From page to page, and to the files that pages name.
fn links_lead_somewhere(root: &Root) -> Result<()> {
    let mut number = 0;
    for file in root.files()? {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = root.path(&file);
        let text = fs::read_to_string(&page)?;
        let targets = text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            let there = page.with_file_name(target).exists();
            ensure!(there, "/{}: nothing is at {target}", file.display());
            number += 1;
        }
    }
    ensure!(number > 50, "{number} links are too few");
    Ok(())
}

fn program_runs(root: &Root) -> Result<()> {
    let output = Command::new(root.path("usr/sbin/ftpfw"))
        .arg("--version")
        .output()
        .context("run the installed program")?;
    let version = concat!("ftpfw ", env!("CARGO_PKG_VERSION"), "\n");
    ensure!(output.stdout == version.as_bytes(), "--version: {output:?}");
    Ok(())
}

fn unit_is_verified(root: &Root) -> Result<()> {
    let Ok(analyze) = programs::find("systemd-analyze") else {
        println!("   SKIPPED: there is no systemd-analyze here, so nobody has verified the unit");
        return Ok(());
    };
    let unit = fs::read_to_string(root.path(UNIT))?;
    let program = root.path("usr/sbin/ftpfw");
    ensure!(unit.contains("/usr/sbin/ftpfw"), "the unit starts no ftpfw");
    // It looks for the program, and finds it where it lies now.
    let copy = TempDir::with_prefix("ftpfw-unit-")?;
    let path = copy.path().join("ftpfw.service");
    fs::write(
        &path,
        unit.replace("/usr/sbin/ftpfw", &program.to_string_lossy()),
    )?;
    let output = Command::new(analyze).arg("verify").arg(&path).output()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "systemd-analyze verify: {output:?}"
    );
    Ok(())
}

/// A directory that dpkg takes for the root of a file system.
struct Root {
    directory: TempDir,
}

impl Root {
    fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-root-")?;
        let database = directory.path().join("var/lib/dpkg");
        for part in ["info", "updates", "triggers"] {
            fs::create_dir_all(database.join(part))?;
        }
        fs::write(database.join("status"), "")?;
        Ok(Self { directory })
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Links, too, whose target is not there.
    fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    fn install(&self, package: &Path) -> Result<String> {
        self.dpkg(&["--install", &package.to_string_lossy()])
    }

    /// What dpkg and the package's scripts said.
    fn dpkg(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("dpkg")
            .arg(format!("--root={}", self.directory.path().display()))
            .arg("--log=/dev/null")
            // Images of containers leave documents out.
            .arg("--path-include=*")
            // There is no shell in this root, nor anything that the package depends on.
            .args(["--force-script-chrootless", "--force-depends"])
            .arg("--force-confold")
            .args(arguments)
            .output()
            .context("run dpkg")?;
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said += &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dpkg {arguments:?}: {said}");
        Ok(said)
    }

    /// All that is there but dpkg's database.
    fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let path = entry.path();
                if path.ends_with("var/lib/dpkg") {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    directories.push(path);
                } else {
                    files.insert(path.strip_prefix(self.directory.path())?.to_owned());
                }
            }
        }
        Ok(files)
    }
}
