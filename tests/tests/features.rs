//! What the running kernel has for ftpfw, found by running it in each mode and looking at what it
//! attached: the rows of `docs/kernels.md`.
//!
//! `FTPFW_FEATURES=FILE`: where they are written, a name and a value a line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::loaded_programs;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::place::program as program_path;
use ftpfw_user::kernel::Programs;

/// Each must be attached for tuples to be claimed and passive FTPS to work.
const TRACEPOINTS: [&str; 5] = ["execs", "exits", "forks", "sockets", "sockets_again"];

/// The names of what one ftpfw has pinned.
struct Links {
    /// Of tracepoints.
    tracepoints: Vec<String>,
    /// Of `eth0`.
    nic: Vec<PathBuf>,
}

impl Links {
    fn of(firewall: &Firewall) -> Result<Self> {
        let (mut tracepoints, mut nic) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(firewall.place().pins.join("links")).context("no links")? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let pins = fs::read_dir(entry.path())?;
                nic.extend(pins.flatten().map(|pin| pin.path()));
            } else {
                tracepoints.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        tracepoints.sort();
        nic.sort();
        Ok(Self { tracepoints, nic })
    }

    /// The one pin of the NIC's that begins so.
    fn one(&self, prefixes: &[&str]) -> Result<&Path> {
        let mut found = self.nic.iter().filter(|pin| {
            let name = pin.file_name().unwrap_or_default().to_string_lossy();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        });
        let one = found.next();
        let one = one.with_context(|| format!("no {prefixes:?} in {:?}", self.nic))?;
        ensure!(
            found.next().is_none(),
            "several {prefixes:?}: {:?}",
            self.nic
        );
        Ok(one)
    }

    /// How a program got to TC: `tcx`, or `clsact` before Linux 6.6. Both directions alike.
    fn tc(&self, ingress: &str) -> Result<&'static str> {
        let kind = |role: &str| -> Result<&'static str> {
            let pin = self.one(&[&format!("tcx-{role}"), &format!("tc-{role}-")])?;
            let is_tcx = pin.file_name().unwrap_or_default().to_string_lossy();
            Ok(if is_tcx.starts_with("tcx-") {
                "tcx"
            } else {
                "clsact"
            })
        };
        let (in_, out) = (kind(ingress)?, kind("egress")?);
        ensure!(in_ == out, "{in_} at ingress, {out} at egress");
        Ok(in_)
    }
}

/// The name of the program behind a pinned link.
fn program(pin: &Path) -> Result<String> {
    let id = FdLink::from(PinnedLink::from_pin(pin)?)
        .info()?
        .program_id();
    let mut loaded = loaded_programs().flatten();
    let program = loaded.find(|it| it.id() == id).context("no such program")?;
    Ok(program.name_as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_verifier_accepts_every_program() -> Result<()> {
    let lab = Lab::new()?;
    let mut check = lab.server.netns.command(program_path()?);
    let output = check.args(["-vv", "check"]).output().context("run ftpfw")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    let times = log.lines().filter(|line| line.contains("in the verifier"));
    print!("{said}{}", times.collect::<Vec<_>>().join("\n"));
    ensure!(output.status.success(), "{said}\n{log}");
    Ok(())
}

#[test]
fn in_every_mode_everything_is_attached() -> Result<()> {
    let lab = Lab::new()?;
    let mut rows = Vec::new();
    for mode in ["native", "generic", "tc"] {
        let firewall = Firewall::start(&lab.server, &["--mode", mode])?;
        let links = Links::of(&firewall)?;
        ensure!(
            links.tracepoints == TRACEPOINTS,
            "{mode}: {:?}",
            links.tracepoints
        );
        let found = match mode {
            "tc" => format!("yes, {}", links.tc("guard")?),
            "generic" => {
                links.tc("ingress")?;
                ensure!(program(links.one(&["xdp-generic"])?)? == "ingress_linear");
                "yes".to_owned()
            }
            _ => match program(links.one(&["xdp-native"])?)?.as_str() {
                "ingress" => "yes, also for frames of several buffers".to_owned(),
                "ingress_linear" => "yes, for frames of one buffer".to_owned(),
                other => anyhow::bail!("{other} is no filter"),
            },
        };
        rows.push((format!("filter, `--mode {mode}`"), found));
        if mode == "native" {
            rows.push(("follower".to_owned(), links.tc("ingress")?.to_owned()));
            rows.push(("tracepoints".to_owned(), links.tracepoints.join(", ")));
            rows.push(("opener".to_owned(), openers().to_owned()));
        }
    }
    write(&rows)
}

fn openers() -> &'static str {
    match Programs::for_this_kernel() {
        Programs::Full => "inline, or agent",
        Programs::Early => "agent",
    }
}

fn write(rows: &[(String, String)]) -> Result<()> {
    let lines: String = rows.iter().map(|(k, v)| format!("{k}\t{v}\n")).collect();
    print!("{lines}");
    match std::env::var_os("FTPFW_FEATURES") {
        Some(path) => fs::write(&path, lines).with_context(|| format!("{}", path.display())),
        None => Ok(()),
    }
}
