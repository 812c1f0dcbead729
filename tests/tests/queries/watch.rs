//! `ftpfw stats --watch`.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::{Answer, scan};
use ftpfw_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running `stats --watch`.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(firewall: &Firewall, words: &[&str]) -> Result<Self> {
        let words = [&["stats", "--watch"], words].concat();
        let mut child = firewall
            .place()
            .command(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("a pipe")?;
        Ok(Self {
            child,
            lines: BufReader::new(output).lines(),
        })
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.lines.next().context("it ended")??)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ended = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _reaped = self.child.wait();
    }
}

#[test]
fn totals_and_rates() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let mut watch = Watch::start(&firewall, &["--json"])?;
    let first: Value = serde_json::from_str(&watch.line()?)?;
    ensure!(first["per_second"].is_null(), "{first}");
    let before = first["totals"]["drop"]["not-armed"]
        .as_u64()
        .context("a number")?;
    let answers = scan(&lab.client, lab.server.v4.into(), 40_000..40_100)?;
    ensure!(answers.values().all(|it| *it == Answer::Silent));
    let (mut dropped, mut rates) = (0, 0);
    while dropped < 100 {
        let look: Value = serde_json::from_str(&watch.line()?)?;
        let count = |group: &str| look[group]["drop"]["not-armed"].as_u64();
        dropped = count("totals").context("a total")? - before;
        rates += count("per_second").context("a rate")?;
        ensure!(look["time"].is_string(), "{look}");
    }
    // The looks are a second apart at least, and each rate is rounded up.
    ensure!(
        dropped == 100 && (1..=105).contains(&rates),
        "{dropped}, {rates}"
    );
    let quiet: Value = serde_json::from_str(&watch.line()?)?;
    ensure!(quiet["per_second"]["drop"]["not-armed"] == 0, "{quiet}");
    Ok(())
}

#[test]
fn a_line_a_look_where_there_is_no_terminal() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let mut watch = Watch::start(&firewall, &["1", "-i", "eth0"])?;
    let (first, second) = (watch.line()?, watch.line()?);
    ensure!(first.contains("  dropped 0  "), "{first}");
    ensure!(second.contains("  dropped 0 (0/s)"), "{second}");
    for line in [first, second] {
        ensure!(!line.contains(char::is_control), "{line:?}");
    }
    Ok(())
}

/// A program on a terminal of its own: what it prints there.
fn on_a_terminal(firewall: &Firewall, words: &[&str], no_color: bool) -> Result<String> {
    let command = firewall.place().command(words);
    let quoted: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &quoted.join(" "), "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let mut child = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut text = String::new();
    if words.contains(&"--watch") {
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?);
        // To the end of the second table.
        while text.matches("PER SECOND").count() < 1 {
            ensure!(output.read_line(&mut text)? > 0, "it ended: {text:?}");
        }
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        wait::exit("script", &mut child)?;
        return Ok(text);
    }
    let output = child.wait_with_output()?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_terminal_is_redrawn_and_coloured() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    scan(&lab.client, lab.server.v4.into(), [40_000])?;
    let redraw = "\u{1b}[H\u{1b}[J";
    let text = on_a_terminal(&firewall, &["stats", "--watch"], false)?;
    ensure!(text.matches(redraw).count() == 2, "{text:?}");
    let coloured = on_a_terminal(&firewall, &["stats"], false)?;
    ensure!(
        coloured.contains('\u{1b}') && !coloured.contains(redraw),
        "{coloured:?}"
    );
    let plain = on_a_terminal(&firewall, &["stats"], true)?;
    ensure!(
        plain.contains("not-armed") && !plain.contains('\u{1b}'),
        "{plain:?}"
    );
    // And by default not where there is none: the environment of all other tests has NO_COLOR.
    let output = firewall
        .place()
        .command(&["stats"])
        .env_remove("NO_COLOR")
        .output()?;
    ensure!(!output.stdout.contains(&0x1b), "{output:?}");
    Ok(())
}

#[test]
fn it_ends_with_what_it_watches() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    let mut watch = Watch::start(&firewall, &[])?;
    watch.line()?;
    firewall.stop()?;
    let status = wait::exit("stats --watch", &mut watch.child)?;
    ensure!(status.code() == Some(1), "{status}");
    let mut said = String::new();
    let mut errors = BufReader::new(watch.child.stderr.take().context("a pipe")?);
    std::io::Read::read_to_string(&mut errors, &mut said)?;
    ensure!(said.contains("was detached"), "{said}");
    Ok(())
}
