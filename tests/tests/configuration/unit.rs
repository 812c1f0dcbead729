//! What is in packaging/: the unit of systemd's, and the example of a configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::place::program;
use ftpfw_tests::programs;
use serde_json::Value;
use tempfile::TempDir;

use crate::File;

/// Where the unit expects the program.
const INSTALLED: &str = "/usr/sbin/ftpfw";

fn packaged(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// The unit, for a program elsewhere.
fn unit(program: &Path) -> Result<String> {
    Ok(packaged("ftpfw.service")?.replace(INSTALLED, &program.to_string_lossy()))
}

/// Whether there is a systemd-analyze; if not, it is said that nobody has done `what`.
fn can_analyze(what: &str) -> bool {
    let version = Command::new("systemd-analyze").arg("--version").output();
    if version.is_err() {
        eprintln!("SKIPPED: there is no systemd-analyze here, so nobody has {what}");
    }
    version.is_ok()
}

#[test]
fn systemd_understands_the_unit() -> Result<()> {
    if !can_analyze("verified the unit") {
        return Ok(());
    }
    let directory = TempDir::with_prefix("ftpfw-unit-")?;
    let path = directory.path().join("ftpfw.service");
    let verify = || {
        Command::new("systemd-analyze")
            .arg("verify")
            .arg(&path)
            .output()
    };
    fs::write(&path, unit(&program()?)?)?;
    let output = verify()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    // It would say so if anything were wrong.
    fs::write(
        &path,
        unit(&program()?)?.replace("WatchdogSec", "WatchdogSek"),
    )?;
    let output = verify()?;
    ensure!(
        !output.stderr.is_empty(),
        "a line that means nothing is not noticed"
    );
    Ok(())
}

/// Cloud images have a service that waits for the network, and that the basic system waits for.
#[test]
fn the_unit_is_before_the_network_where_cloud_init_is() -> Result<()> {
    if !can_analyze("ordered the units") {
        return Ok(());
    }
    let directory = TempDir::with_prefix("ftpfw-units-")?;
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).map(|()| path)
    };
    let early = |orders: &str| {
        format!(
            "[Unit]\nDefaultDependencies=no\n{orders}\n\
             [Service]\nType=oneshot\nExecStart=/bin/true\n"
        )
    };
    write(
        "networking.service",
        &early("After=network-pre.target\nBefore=network.target"),
    )?;
    let cloud =
        early("Requires=networking.service\nAfter=networking.service\nBefore=sysinit.target");
    let cloud = write("cloud-init.service", &cloud)?;
    let wants = directory.path().join("sysinit.target.wants");
    fs::create_dir(&wants)?;
    symlink(&cloud, wants.join("cloud-init.service"))?;
    let verify = |text: &str| -> Result<String> {
        let mut verify = Command::new("systemd-analyze");
        // The colon: and where units are without it.
        let units = format!("{}:", directory.path().display());
        let unit = write("ftpfw.service", text)?;
        verify.env("SYSTEMD_UNIT_PATH", units).arg("verify");
        let output = verify.arg(unit).arg(&cloud).output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let text = unit(&program()?)?;
    let said = verify(&text)?;
    ensure!(said.is_empty(), "{said}");
    // It would say so if there were a cycle.
    let said = verify(&text.replace("DefaultDependencies=no\n", ""))?;
    ensure!(said.contains("ordering cycle"), "no cycle: {said}");
    Ok(())
}

/// Programs that stand in for systemctl and ftpfw, and what the line `ExecStopPost=` does with them.
struct Stop {
    directory: TempDir,
}

impl Stop {
    fn new() -> Result<Self> {
        let directory = TempDir::with_prefix("ftpfw-stop-")?;
        let stop = Self { directory };
        stop.stand_in("ftpfw", "echo \"$@\"")?;
        Ok(stop)
    }

    fn stand_in(&self, name: &str, script: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        programs::install_script(script, &path)?;
        Ok(path)
    }

    /// What ftpfw is called with, if it is.
    fn with_systemctl(&self, script: &str) -> Result<String> {
        self.stand_in("systemctl", script)?;
        let unit = unit(&self.directory.path().join("ftpfw"))?;
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStopPost="));
        let shell = line
            .and_then(|line| line.strip_prefix("/bin/sh -c '")?.strip_suffix('\''))
            .context("another ExecStopPost=")?
            .replace("%n", "ftpfw.service");
        let path = format!("{}:/usr/bin:/bin", self.directory.path().display());
        let output = Command::new("/bin/sh")
            .args(["-c", &shell])
            .env("PATH", path)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// In the words of `systemctl list-jobs --no-legend`, as seen under systemd 252.
#[test]
fn only_a_stop_detaches() -> Result<()> {
    let stop = Stop::new()?;
    let job =
        |job: &str| format!("[ \"$*\" = 'list-jobs --no-legend ftpfw.service' ] && echo '{job}'");
    let stopped = stop.with_systemctl(&job("1234 ftpfw.service stop running"))?;
    ensure!(
        stopped == "detach --config /etc/ftpfw.toml",
        "a stop: {stopped:?}"
    );
    for (what, script) in [
        ("a restart", job("1234 ftpfw.service restart running")),
        ("a crash, with no job", job("No jobs running.")),
        ("no answer", "exit 1".to_owned()),
        ("nothing", "exit 0".to_owned()),
    ] {
        let called = stop.with_systemctl(&script)?;
        ensure!(called.is_empty(), "{what}: {called:?}");
    }
    Ok(())
}

/// systemd 252 makes the bpffs read-only for `ProtectKernelTunables=`, also under a `ReadWritePaths=` that
/// names it: nothing could be pinned.
#[test]
fn the_unit_leaves_the_bpffs_writable() -> Result<()> {
    let unit = packaged("ftpfw.service")?;
    let has = |line: &str| unit.lines().any(|it| it == line);
    ensure!(has("ReadWritePaths=/sys/fs/bpf"), "{unit}");
    ensure!(!has("ProtectKernelTunables=yes"), "{unit}");
    Ok(())
}

/// The capabilities of the unit are those that the agent keeps.
#[test]
fn the_unit_gives_what_the_agent_keeps() -> Result<()> {
    let unit = packaged("ftpfw.service")?;
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let mut given: Vec<_> = line
        .context("no bounding set")?
        .split(' ')
        .map(str::to_owned)
        .collect();
    let mut kept: Vec<_> = ftpfw_user::privileges::NEEDED
        .iter()
        .map(ToString::to_string)
        .collect();
    given.sort_unstable();
    kept.sort_unstable();
    ensure!(given == kept, "{given:?} {kept:?}");
    Ok(())
}

fn resolved(text: &str) -> Result<Value> {
    let file = File::new(text)?;
    let mut command = Command::new(program()?);
    let output = command
        .args(["check", "--json", "--config", file.path()])
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.success(), "{report}");
    Ok(report["configuration"].clone())
}

/// As it is, the example says nothing; its comments show every key, with its default.
#[test]
fn the_example_shows_every_key() -> Result<()> {
    let example = packaged("ftpfw.toml")?;
    let defaults = resolved("")?;
    ensure!(
        resolved(&example)? == defaults,
        "something is not commented"
    );
    let is_key = |line: &&str| line.split(' ').nth(1) == Some("=");
    let uncommented: Vec<_> = example
        .lines()
        .map(|line| line.strip_prefix('#').filter(is_key).unwrap_or(line))
        .collect();
    let text = uncommented
        .join("\n")
        .replace("ftps = \"listener\"", "ftps = \"range\"");
    let shown = resolved(&text)?;
    for (key, default) in defaults.as_object().context("an object")? {
        let name = key.rsplit('.').next().unwrap_or(key);
        ensure!(text.contains(&format!("\n{name} = ")), "{key} is not shown");
        match name {
            "interfaces" | "open_ports" | "ftps" | "passive_ports" | "metrics" | "transfer_log" => {
                ensure!(shown[key] != *default, "{key} is {default} anyway");
            }
            _ => ensure!(
                shown[key] == *default,
                "{key}: {} is not {default}",
                shown[key]
            ),
        }
    }
    Ok(())
}

/// And so does docs/configuration.md.
#[test]
fn the_documentation_names_every_key() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let documentation = fs::read_to_string(path)?;
    let defaults = resolved("")?;
    let keys = defaults.as_object().context("an object")?.keys();
    for key in keys.map(String::as_str).chain(["mode"]) {
        let row = format!("| `{key}` |");
        ensure!(
            documentation.contains(&row),
            "{key} has no row in docs/configuration.md"
        );
    }
    Ok(())
}
