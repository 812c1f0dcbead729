//! What is wrong with a file is said with its line and column; `check` says the same without privileges.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::nobody::Nobody;
use ftpfw_tests::place::Place;
use ftpfw_tests::refusal::{FAILED, USAGE, nothing_left, refused};
use serde_json::Value;

use crate::File;

/// Texts, where each is wrong, and what is to be said.
const WRONG: [(&str, &str, &str); 14] = [
    (
        "interfaces = [\"eth0\"]\nopen_port = []\n",
        "2:1",
        "unknown key `open_port`",
    ),
    (
        "interfaces = [\"eth0\"]\n[timeouts]\ntupel = \"1s\"\n",
        "3:1",
        "unknown key `tupel`",
    ),
    ("interfaces = \"eth0\"\n", "1:14", "expected a list"),
    ("interfaces = [\"eth0:fast\"]\n", "1:15", "\"eth1:tc\""),
    ("interfaces = [\"eth0\", \"eth0\"]\n", "1:23", "twice"),
    (
        "interfaces = [\"eth0\"]\ndry_run = \"yes\"\n",
        "2:11",
        "true or false",
    ),
    (
        "interfaces = [\"eth0\"]\ncontrol_ports = [21, 70000]\n",
        "2:22",
        "1 to 65535",
    ),
    (
        "interfaces = [\"eth0\"]\nprotect = [\"2000-1000\"]\n",
        "2:12",
        "2000 is greater than 1000",
    ),
    (
        "interfaces = [\"eth0\"]\nopen_ports = [\n  \"80/icmp\",\n]\n",
        "3:3",
        "\"8080/tcp\"",
    ),
    (
        "interfaces = [\"eth0\"]\nudp = \"maybe\"\n",
        "2:7",
        "\"drop\" or \"pass\"",
    ),
    (
        "interfaces = [\"eth0\"]\nftps = \"range\"\n",
        "2:8",
        "passive_ports",
    ),
    (
        "interfaces = [\"eth0\"]\nimplicit_tls_ports = [21]\n",
        "2:23",
        "can only be one",
    ),
    (
        "interfaces = [\"eth0\"]\n[timeouts]\ntuple = 120\n",
        "3:9",
        "\"120s\"",
    ),
    ("interfaces = [\"eth0\"\nudp = \"drop\"\n", "2:1", "array"),
];

/// `ftpfw check --config FILE WORDS…`, by nobody.
fn check(file: &File, words: &[&str]) -> Result<Output> {
    let nobody = Nobody::new()?;
    let path = Path::new(file.path());
    let parent = path.parent().context("a directory")?;
    fs::set_permissions(parent, Permissions::from_mode(0o755))?;
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    let words = [&["check", "--config", file.path()], words].concat();
    nobody.command(&words).output().context("run ftpfw check")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn run_and_check_say_where_and_what() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let file = File::new("")?;
    for (text, position, says) in WRONG {
        file.write(text)?;
        let place_in_file = format!("{}:{position}: ", file.path());
        let words = ["run", "--config", file.path()];
        refused(&place, &words, FAILED, &[&place_in_file, says])
            .with_context(|| text.to_owned())?;
        let output = check(&file, &[])?;
        let said = printed(&output);
        ensure!(output.status.code() == Some(FAILED), "{text}: {output:?}");
        ensure!(
            said.contains(&format!("{place_in_file}error: ")) && said.contains(says),
            "{text}: {said}"
        );
    }
    nothing_left(&lab.server, &place)
}

#[test]
fn files_that_cannot_be_used_at_all() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let words = ["run", "--config", "/nonexistent/ftpfw.toml"];
    refused(
        &place,
        &words,
        FAILED,
        &["/nonexistent/ftpfw.toml", "cannot read"],
    )?;
    // Nobody says what to protect: that is wrong usage.
    let file = File::new("dry_run = true\n")?;
    refused(
        &place,
        &["run", "--config", file.path()],
        USAGE,
        &["interfaces"],
    )?;
    // An interface that is not there cannot be protected, but the file may be right all the same.
    file.write("interfaces = [\"eth9\"]\n")?;
    let words = ["run", "--config", file.path()];
    refused(&place, &words, FAILED, &["interface eth9 does not exist"])?;
    // Flags and file together may be wrong where each is right.
    file.write("interfaces = [\"eth0\"]\nimplicit_tls_ports = [2121]\n")?;
    let words = ["run", "--config", file.path(), "--control-port", "2121"];
    refused(&place, &words, USAGE, &["2121"])?;
    nothing_left(&lab.server, &place)
}

#[test]
fn a_file_that_is_right() -> Result<()> {
    let file = File::new("interfaces = [\"lo\"]\nopen_ports = [8080]\n")?;
    let output = check(&file, &[])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(!printed(&output).contains("warning"), "{output:?}");
    let output = check(&file, &["--json"])?;
    ensure!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        report["ok"] == true && report["findings"] == Value::Array(vec![]),
        "{report}"
    );
    ensure!(
        report["configuration"]["open_ports"] == serde_json::json!(["8080"]),
        "{report}"
    );
    ensure!(report["configuration"]["dry_run"] == false, "{report}");
    Ok(())
}

#[test]
fn what_may_be_meant_so_is_a_warning() -> Result<()> {
    let file = File::new("udp = \"pass\"\ninterfaces = [\n  \"nosuch0:tc\",\n]\n")?;
    let output = check(&file, &[])?;
    ensure!(output.status.success(), "{output:?}");
    let said = printed(&output);
    let expected = format!("{}:3:3: warning: interface nosuch0", file.path());
    ensure!(said.contains(&expected), "{said}");
    file.write("udp = \"pass\"\n")?;
    let output = check(&file, &[])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(printed(&output).contains("warning"), "{output:?}");
    Ok(())
}

#[test]
fn check_as_json() -> Result<()> {
    let file = File::new("interfaces = [\"lo\"]\n\nudp = \"maybe\"\n")?;
    let output = check(&file, &["--json"])?;
    ensure!(output.status.code() == Some(FAILED), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let finding = &report["findings"][0];
    ensure!(
        report["ok"] == false && report["findings"][1].is_null(),
        "{report}"
    );
    ensure!(finding["severity"] == "error", "{report}");
    ensure!(finding["line"] == 3 && finding["column"] == 7, "{report}");
    ensure!(
        finding["message"]
            .as_str()
            .is_some_and(|it| it.contains("\"drop\"")),
        "{report}"
    );
    Ok(())
}
