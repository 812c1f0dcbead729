//! `ftpfw check`: what it finds, and that it changes nothing.

use std::net::TcpListener;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::config_file::ConfigFile;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::nobody::Nobody;
use ftpfw_tests::place::{Place, program};
use ftpfw_tests::refusal::{FAILED, nothing_left};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use serde_json::Value;

/// What was found: one object for each thing that was looked at.
struct Checks {
    all: Vec<Value>,
    code: Option<i32>,
    printed: String,
}

impl Checks {
    fn of(output: &Output) -> Result<Self> {
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(&printed)
            .with_context(|| format!("{printed}\n{:?}", output.stderr))?;
        let all = report["checks"].as_array().cloned().unwrap_or_default();
        let ok = report["ok"] == true;
        ensure!(
            ok == output.status.success(),
            "{printed}: {}",
            output.status
        );
        let code = output.status.code();
        Ok(Self { all, code, printed })
    }

    /// The status and the text of what was looked at about something.
    fn one(&self, about: &str, check: &str) -> Result<(&str, String)> {
        let found = self
            .all
            .iter()
            .find(|it| it["about"] == about && it["check"] == check)
            .with_context(|| format!("no {check} of {about} in {}", self.printed))?;
        let text = format!("{} {}", found["message"], found["remedy"]);
        Ok((found["status"].as_str().context("no status")?, text))
    }

    fn expect(&self, about: &str, check: &str, status: &str, says: &str) -> Result<()> {
        let (found, text) = self.one(about, check)?;
        ensure!(found == status, "{about} {check} is {found}: {text}");
        ensure!(
            text.contains(says),
            "{about} {check} says nothing of {says}: {text}"
        );
        Ok(())
    }

    fn problems(&self) -> Vec<&Value> {
        let all = self.all.iter();
        all.filter(|it| it["status"] == "problem").collect()
    }
}

/// `ftpfw check --json WORDS…` in the host's namespace.
fn check(host: &Host, words: &[&str]) -> Result<Checks> {
    let mut command = host.netns.command(program()?);
    let output = command.args(["check", "--json"]).args(words).output();
    Checks::of(&output.context("run ftpfw check")?)
}

/// The same by nobody, in this process's namespace.
fn check_by_nobody(words: &[&str]) -> Result<Checks> {
    let words = [&["check", "--json"], words].concat();
    let output = Nobody::new()?.command(&words).output();
    Checks::of(&output.context("run ftpfw check")?)
}

/// What a check could have changed of an interface.
fn state(host: &Host) -> Result<String> {
    let mut state = String::new();
    for words in [
        &["-details", "link", "show"][..],
        &["address", "show"],
        &["route", "show", "table", "all"],
    ] {
        let output = host.netns.command("ip").args(words).output()?;
        ensure!(output.status.success(), "{output:?}");
        state.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(state)
}

#[test]
fn it_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let before = state(&lab.server)?;
    for interface in ["eth0", "eth0:native", "eth0:generic", "eth0:tc"] {
        check(&lab.server, &["-i", interface])?;
        ensure!(state(&lab.server)? == before, "{interface}");
        nothing_left(&lab.server, &place)?;
    }
    Ok(())
}

#[test]
fn the_kernel_is_asked_by_doing() -> Result<()> {
    let lab = Lab::new()?;
    let checks = check(&lab.server, &[])?;
    ensure!(checks.code == Some(0), "{}", checks.printed);
    for name in [
        "btf",
        "tracepoints",
        "sock-diag",
        "bpffs",
        "privileges",
        "maps",
        "opener",
        "programs",
        "tcx",
    ] {
        checks.expect("kernel", name, "ok", "")?;
    }
    ensure!(
        checks.all.iter().all(|it| it["about"] != "eth0"),
        "{}",
        checks.printed
    );
    Ok(())
}

#[test]
fn without_privileges_it_says_what_it_could_not_look_at() -> Result<()> {
    let checks = check_by_nobody(&[])?;
    ensure!(checks.code == Some(FAILED), "{}", checks.printed);
    ensure!(checks.problems().len() == 1, "{}", checks.printed);
    checks.expect("kernel", "privileges", "problem", "CAP_BPF")?;
    checks.expect(
        "kernel",
        "privileges",
        "problem",
        "Not looked at: maps, programs",
    )?;
    checks.expect("kernel", "btf", "ok", "")
}

#[test]
fn an_interface_that_is_right_and_those_that_are_not() -> Result<()> {
    let lab = Lab::new()?;
    lab.server.netns.ip("link add br9 type bridge")?;
    let checks = check(&lab.server, &["-i", "eth0:native", "br9", "nosuch0"])?;
    ensure!(checks.code == Some(FAILED), "{}", checks.printed);
    checks.expect("eth0", "interface", "ok", "veth")?;
    checks.expect("eth0", "mtu", "ok", "1500")?;
    for name in ["lro", "rx-vlan", "other-xdp", "other-tc"] {
        checks.expect("eth0", name, "ok", "")?;
    }
    // A veth's native mode works, and has its price.
    checks.expect("eth0", "xdp", "warning", "--mode tc")?;
    checks.expect("br9", "xdp", "warning", "generic mode")?;
    checks.expect("nosuch0", "interface", "problem", "does not exist")?;
    ensure!(checks.problems().len() == 1, "{}", checks.printed);
    let checks = check(&lab.server, &["-i", "br9:native"])?;
    checks.expect("br9", "xdp", "problem", "--mode generic")?;
    ensure!(checks.code == Some(FAILED), "{}", checks.printed);
    let checks = check(&lab.server, &["-i", "br9:tc", "eth0:tc"])?;
    checks.expect("br9", "xdp", "ok", "mode tc")?;
    checks.expect("eth0", "xdp", "ok", "mode tc")?;
    ensure!(checks.code == Some(0), "{}", checks.printed);
    Ok(())
}

#[test]
fn programs_of_others_and_our_own() -> Result<()> {
    let lab = Lab::new()?;
    // Another ftpfw, by its pins, is somebody else.
    let mut other = Firewall::start(&lab.server, &["--mode", "generic"])?;
    let checks = check(&lab.server, &["-i", "eth0"])?;
    checks.expect("eth0", "other-xdp", "problem", "ingress_linear")?;
    checks.expect("eth0", "other-tc", "warning", "tcx egress")?;
    ensure!(checks.code == Some(FAILED), "{}", checks.printed);
    let checks = check(&lab.server, &["-i", "eth0:tc"])?;
    checks.expect("eth0", "other-xdp", "warning", "before ftpfw")?;
    ensure!(checks.code == Some(0), "{}", checks.printed);
    // And by its own pins it is itself.
    let pins = other.place().pins.display();
    let text = format!("interfaces = [\"eth0\"]\npin_dir = \"{pins}\"\n");
    let file = ConfigFile::new(&text)?;
    let checks = check(&lab.server, &["--host", "--config", file.path()])?;
    checks.expect("eth0", "interface", "ok", "protected by ftpfw already")?;
    checks.expect("eth0", "other-xdp", "ok", "")?;
    checks.expect("eth0", "other-tc", "ok", "")?;
    ensure!(checks.code == Some(0), "{}", checks.printed);
    other.stop()?;
    check(&lab.server, &["-i", "eth0"])?.expect("eth0", "other-xdp", "ok", "")
}

#[test]
fn daemons_and_who_would_be_cut_off() -> Result<()> {
    let lab = Lab::new()?;
    let checks = check(&lab.server, &[])?;
    checks.expect("host", "daemons", "warning", "nobody listens")?;
    checks.expect("host", "listeners", "ok", "")?;
    let server = FtpServer::start(&lab.server, &Options::new(Daemon::Vsftpd, Family::V4))?;
    let address = (lab.server.v4, 0);
    let listener = lab.server.netns.run(|| TcpListener::bind(address))??;
    let port = listener.local_addr()?.port();
    let checks = check(&lab.server, &[])?;
    checks.expect("host", "daemons", "ok", &format!("(pid {})", server.pid()))?;
    checks.one("host", "passive-ports")?;
    let advice = format!("--open-port {port}/tcp");
    checks.expect("host", "listeners", "warning", &advice)?;
    ensure!(
        checks.code == Some(0),
        "a warning is no problem: {}",
        checks.printed
    );
    // With the port open, as the file has it, nobody is cut off.
    let file = ConfigFile::new(&format!("open_ports = [\"{port}/tcp\"]\n"))?;
    let checks = check(&lab.server, &["--host", "--config", file.path()])?;
    checks.expect("host", "listeners", "ok", "")
}

#[test]
fn a_file_and_the_host_together() -> Result<()> {
    let lab = Lab::new()?;
    let file = ConfigFile::new("interfaces = [\"eth0:tc\"]\n")?;
    // Alone, the file is read and nothing is looked at.
    let checks = check(&lab.server, &file.options())?;
    ensure!(checks.all.is_empty(), "{}", checks.printed);
    lab.server.netns.ip("link add br9 type bridge")?;
    let checks = check(&lab.server, &["--config", file.path(), "-i", "br9"])?;
    checks.expect("eth0", "xdp", "ok", "mode tc")?;
    checks.expect("br9", "xdp", "warning", "generic mode")?;
    // What is wrong with the file is a failure, whatever the host is like.
    file.write("udp = \"maybe\"\n")?;
    let checks = check(&lab.server, &["--config", file.path(), "--host"])?;
    ensure!(
        checks.code == Some(FAILED) && checks.problems().is_empty(),
        "{}",
        checks.printed
    );
    checks.expect("kernel", "programs", "ok", "")
}
