//! Completions, manual pages, and commands that documents print.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::place;
use ftpfw_tests::refusal::{FAILED, USAGE, check};

const VERBS: [&str; 13] = [
    "run",
    "status",
    "list",
    "stats",
    "top",
    "events",
    "explain",
    "allow",
    "revoke",
    "replay",
    "detach",
    "completions",
    "man",
];

fn ftpfw(words: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(place::program()?);
    command.args(words).output().context("run ftpfw")
}

#[test]
fn completions_of_each_shell() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let output = ftpfw(&["completions", shell])?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        let script = String::from_utf8(output.stdout)?;
        for verb in VERBS {
            ensure!(script.contains(verb), "{shell} knows no {verb}");
        }
        if shell == "bash" {
            completes(&script)?;
        }
    }
    let unknown = ftpfw(&["completions", "command.com"])?;
    check(&unknown, USAGE, &["command.com", "bash"])
}

/// What bash itself makes of `ftpfw list t<TAB>`.
fn completes(script: &str) -> Result<()> {
    let asking = "COMP_WORDS=(ftpfw ex); COMP_CWORD=1; _ftpfw ftpfw ex ftpfw; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut child = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    write!(input, "{script}\n{asking}\n")?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(said == "explain\n", "{said:?}");
    Ok(())
}

#[test]
fn a_manual_page_for_each_verb() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let into = directory.path().join("man1");
    let output = ftpfw(&["man", "--dir", &into.display().to_string()])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    for verb in VERBS {
        let page = into.join(format!("ftpfw-{verb}.1"));
        let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        ensure!(
            text.contains(".TH") && text.contains(".SH SYNOPSIS"),
            "{text}"
        );
    }
    let printed = ftpfw(&["man"])?;
    ensure!(printed.stdout == fs::read(into.join("ftpfw.1"))?);
    let refused = ftpfw(&["man", "--dir", "/proc/nowhere"])?;
    check(
        &refused,
        FAILED,
        &["cannot write manual pages into /proc/nowhere"],
    )
}
