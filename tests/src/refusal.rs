//! What a refusal is: one clear sentence, the right exit code, and nothing left in the kernel.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Host;
use crate::place::Place;
use crate::wait;

/// It could not be done (DESIGN §8).
pub const FAILED: i32 = 1;
/// It was asked for in the wrong way.
pub const USAGE: i32 = 2;

/// Runs `ftpfw WORDS…` and insists on the code and on what the sentence says.
///
/// # Errors
/// When it is done, or refused otherwise.
pub fn refused(place: &Place, words: &[&str], code: i32, says: &[&str]) -> Result<()> {
    refused_by(&mut place.command(words), code, says).with_context(|| format!("ftpfw {words:?}"))
}

/// As [`refused`], of any command.
///
/// # Errors
/// As [`refused`].
pub fn refused_by(command: &mut Command, code: i32, says: &[&str]) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // What should have been refused may well run on for ever.
    if let Err(error) = wait::exit("ftpfw", &mut child) {
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let said = child.wait_with_output()?.stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        return Err(error).context(said);
    }
    check(&child.wait_with_output()?, code, says)
}

/// As [`refused`], of a command that has ended.
///
/// # Errors
/// As [`refused`].
pub fn check(output: &Output, code: i32, says: &[&str]) -> Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let found = output.status.code();
    ensure!(
        found == Some(code),
        "{}, not {code}: {stderr}",
        output.status
    );
    for words in says {
        ensure!(
            stderr.contains(words),
            "says nothing of {words:?}: {stderr}"
        );
    }
    // clap adds the usage and where to find help, and what the log says on the way is no complaint;
    // all else is one sentence.
    let lines = stderr
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.contains(" INFO "))
        .count();
    ensure!(code == USAGE || lines == 1, "{lines} lines:\n{stderr}");
    ensure!(!stderr.contains("panicked"), "{stderr}");
    ensure!(
        output.stdout.is_empty(),
        "standard output: {:?}",
        output.stdout
    );
    Ok(())
}

/// No pins, no socket, nothing on the NIC.
///
/// # Errors
/// With what is there.
pub fn nothing_left(host: &Host, place: &Place) -> Result<()> {
    for path in [&place.pins, &place.socket] {
        ensure!(!path.exists(), "{} is left behind", path.display());
    }
    nothing_on(host, "eth0")
}

/// No XDP and nothing at the TC hooks of an interface.
///
/// # Errors
/// With what is there.
pub fn nothing_on(host: &Host, interface: &str) -> Result<()> {
    let link = said_by(host, "ip", &["-details", "link", "show", "dev", interface])?;
    ensure!(!link.contains("xdp"), "XDP is left behind:\n{link}");
    let filters = said_by(host, "tc", &["qdisc", "show", "dev", interface])?;
    ensure!(
        !filters.contains("clsact"),
        "clsact is left behind:\n{filters}"
    );
    for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
        let (_, programs) = host
            .netns
            .run(|| SchedClassifier::query_tcx(interface, hook))??;
        ensure!(
            programs.is_empty(),
            "{} programs at tcx {hook:?} of {interface}",
            programs.len()
        );
    }
    Ok(())
}

fn said_by(host: &Host, program: &str, words: &[&str]) -> Result<String> {
    let output = host.netns.command(program).args(words).output()?;
    ensure!(output.status.success(), "{program} {words:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
