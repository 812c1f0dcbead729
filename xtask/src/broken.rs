//! `cargo xtask broken`: does a firewall that lacks a rule turn the tests red? A copy of this tree is built
//! without the rule, and its own `cargo xtask test` or `vm` must fail, by a test that is named here.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::phases::Phases;
use crate::vm::Line;
use crate::workspace;

/// The arguments of `cargo xtask broken`.
#[derive(Debug, Args)]
pub struct Broken {
    /// In a virtual machine with that kernel instead of namespaces of this one
    #[arg(long, value_enum, value_name = "LINE")]
    kernel: Option<Line>,
    /// Only these rules
    #[arg(value_parser = RULES.map(|rule| rule.name))]
    rules: Vec<String>,
}

/// A rule, and how to take it out.
struct Rule {
    name: &'static str,
    file: &'static str,
    /// There once.
    text: &'static str,
    /// What stands there instead.
    instead: &'static str,
    /// The suite that must turn red, and one of its tests that must.
    red: (&'static str, &'static str),
}

const RULES: [Rule; 4] = [
    Rule {
        name: "address",
        file: "ftpfw-common/src/filter.rs",
        text: "Armed::None => return Reason::NoTuple,",
        instead: "Armed::None => Reason::Tuple,",
        red: ("one_port", "pasv"),
    },
    Rule {
        name: "deadline",
        file: "ftpfw-common/src/filter.rs",
        text: "Armed::Expired => return Reason::Expired,",
        instead: "Armed::Expired => Reason::Tuple,",
        red: ("verdicts", "in_every_program"),
    },
    Rule {
        name: "connection",
        file: "ftpfw-common/src/filter.rs",
        text: "Flow::None => Reason::NoConnection,",
        instead: "Flow::None => Reason::Flow,",
        red: ("verdicts", "in_every_program"),
    },
    Rule {
        name: "bounce",
        file: "ftpfw-common/src/control/client.rs",
        text: "            Ok((address, _)) if address != *client => Err(Refusal::Bounce),\n",
        instead: "",
        red: ("attacks_negotiation", "a01_bounce_by_port"),
    },
];

/// Makes the copy, shows that it is green as it is, and that it is red without each rule.
///
/// # Errors
/// When it is not; when a rule is not where it is said to be, or the copy cannot be built.
pub fn run(broken: &Broken) -> Result<()> {
    let is_chosen =
        |rule: &&Rule| broken.rules.is_empty() || broken.rules.iter().any(|it| it == rule.name);
    let rules: Vec<&Rule> = RULES.iter().filter(is_chosen).collect();
    let mut phases = Phases::default();
    let copy = phases.step("copy the tree", Copy::make)?;
    let mut suites: Vec<&str> = rules.iter().map(|rule| rule.red.0).collect();
    suites.sort_unstable();
    suites.dedup();
    phases.step("with all rules", || {
        let failed = copy.test(broken.kernel, &suites)?;
        ensure!(failed.is_empty(), "red as it is: {}", failed.join(", "));
        Ok(())
    })?;
    for rule in rules {
        let name = format!("without the rule `{}`", rule.name);
        phases.attempt(&name, || {
            let text = copy.without(rule)?;
            let failed = copy.test(broken.kernel, &[rule.red.0]);
            fs::write(copy.tree.join(rule.file), text).context("put the rule back")?;
            let (failed, red) = (failed?, rule.red.1);
            ensure!(
                failed.iter().any(|it| it.ends_with(red)),
                "{red} is green; red: {failed:?}"
            );
            println!("red, as it must be: {}", failed.join(", "));
            Ok(())
        });
    }
    phases.finish()
}

/// Files of this tree, and the target directory of what is built from them.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies what has changed since the last time: cargo builds that anew, and no more.
    fn make() -> Result<Self> {
        let directory = workspace::target().join("broken");
        let (tree, target) = (directory.join("tree"), directory.join("target"));
        for file in files()? {
            let (from, to) = (workspace::root().join(&file), tree.join(&file));
            match fs::read(&from) {
                Ok(bytes) => write(&to, &bytes)?,
                // Deleted, and not committed yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    fs::remove_file(&to).or_else(|error| match error.kind() {
                        ErrorKind::NotFound => Ok(()),
                        _ => Err(error),
                    })?;
                }
                Err(error) => return Err(error).context(file),
            }
        }
        // Cargo marks only what it makes itself. Without the mark the objects would go to the target directory
        // around it (`object::target_dir`), and the next build of this tree would take a broken one for its own.
        write(&target.join("CACHEDIR.TAG"), MARK)?;
        // Programs that were unpacked and kernels that were downloaded serve both.
        for shared in ["tools", "vm/kernels"] {
            let (from, to) = (workspace::target().join(shared), target.join(shared));
            fs::create_dir_all(&from)?;
            fs::create_dir_all(to.parent().context("below the target directory")?)?;
            if !to.exists() {
                symlink(&from, &to).with_context(|| format!("make {}", to.display()))?;
            }
        }
        Ok(Self { tree, target })
    }

    /// Takes a rule out; the file as it was.
    fn without(&self, rule: &Rule) -> Result<String> {
        let path = self.tree.join(rule.file);
        let text = fs::read_to_string(&path).with_context(|| rule.file.to_owned())?;
        let count = text.matches(rule.text).count();
        if count != 1 {
            bail!(
                "{} has `{}` {count} times, not once: mend the table in xtask/src/broken.rs",
                rule.file,
                rule.text.trim()
            );
        }
        fs::write(&path, text.replacen(rule.text, rule.instead, 1))?;
        Ok(text)
    }

    /// Has the copy run suites; the tests that failed.
    fn test(&self, kernel: Option<Line>, suites: &[&str]) -> Result<Vec<String>> {
        let mut cargo = workspace::cargo(&["xtask"]);
        match kernel {
            None => cargo.arg("test"),
            Some(line) => cargo.args(["vm", "--kernel", line.name()]),
        };
        cargo.args(suites).current_dir(&self.tree);
        cargo.env("CARGO_TARGET_DIR", &self.target);
        let (success, failed) = watch(&mut cargo)?;
        ensure!(
            success == failed.is_empty(),
            "it failed, and no test of it did: see above"
        );
        Ok(failed)
    }
}

/// What marks a cache (<https://bford.info/cachedir/>).
const MARK: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n";

/// Writes a file unless it is the same.
fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
    fs::write(to, bytes).with_context(|| format!("write {}", to.display()))
}

/// The files that git knows, or would add.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = git.current_dir(workspace::root()).output();
    let output = output.context("run git")?;
    ensure!(output.status.success(), "git ls-files: {}", output.status);
    let names = String::from_utf8(output.stdout).context("names are text")?;
    let names = names.split_terminator('\0').map(str::to_owned);
    Ok(names.collect())
}

/// Runs a command and shows what it says. Whether it succeeded, and the tests of which it said that they
/// failed.
fn watch(command: &mut Command) -> Result<(bool, Vec<String>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("run cargo")?;
    let said = child.stdout.take().context("it has a standard output")?;
    let mut failed = Vec::new();
    for line in BufReader::new(said).lines() {
        let line = line?;
        println!("    {line}");
        if let Some(name) = failed_test(&line) {
            failed.push(name.to_owned());
        }
    }
    failed.sort();
    failed.dedup();
    Ok((child.wait()?.success(), failed))
}

/// "test NAME ... FAILED", perhaps behind the name of a machine.
fn failed_test(line: &str) -> Option<&str> {
    let name = line.strip_suffix(" ... FAILED")?;
    name.rsplit_once("test ").map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_there_once() {
        for rule in RULES {
            let text = fs::read_to_string(workspace::root().join(rule.file)).unwrap();
            assert_eq!(text.matches(rule.text).count(), 1, "{}", rule.name);
        }
    }

    #[test]
    fn failed_tests_are_found_here_and_in_machines() {
        for (line, name) in [
            ("test pasv ... FAILED", Some("pasv")),
            (
                "one_port            | test a::pasv ... FAILED",
                Some("a::pasv"),
            ),
            ("test pasv ... ok", None),
            ("test result: FAILED. 8 passed; 1 failed", None),
        ] {
            assert_eq!(failed_test(line), name, "{line}");
        }
    }
}
