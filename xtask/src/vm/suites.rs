//! What runs in a machine: test programs, built here, and what they need to know.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::kernel::{Kernel, Line};
use super::qemu::Accelerator;
use super::topology::{self, Nic};
use crate::test::{Profile, programs};
use crate::workspace::{self, HOST};

/// A test program, and which of its tests: all, or those whose names contain one of the words.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The file in `tests/tests`.
    pub name: &'static str,
    only: &'static [&'static str],
    /// Whose names contain one of these are left out.
    skipped: &'static [&'static str],
}

const fn all_of(name: &'static str) -> Suite {
    some_of(name, &[])
}

const fn some_of(name: &'static str, only: &'static [&'static str]) -> Suite {
    Suite {
        name,
        only,
        skipped: &[],
    }
}

/// The suite that tells what a kernel has.
pub const FEATURES: &str = "features";

/// What a packet meets, and that transfers work.
const SMOKE: [Suite; 5] = [
    all_of("verdicts"),
    all_of("matrix"),
    all_of("one_port"),
    some_of("transfers", &["vsftpd_curl", "agent", "generic"]),
    all_of(FEATURES),
];

/// The kernel that most of Debian's hosts run, or will: all but what has nothing to do with a kernel. Those
/// that take longest come first.
const FULL: [Suite; 30] = [
    all_of("ftps"),
    all_of("faults"),
    all_of("attacks_stream"),
    all_of("attacks_packets"),
    all_of("attacks_negotiation"),
    all_of("queries"),
    all_of("verdicts"),
    all_of("matrix"),
    all_of("quirks"),
    all_of("attacks_lifetime"),
    all_of("attacks_pressure"),
    all_of("interfaces"),
    all_of("containers"),
    all_of("kernel_engine"),
    all_of("kernel_state"),
    all_of("configuration"),
    all_of("operations"),
    all_of("bystanders"),
    all_of("transfers"),
    all_of("one_port"),
    all_of("policy"),
    all_of("nic"),
    all_of("events"),
    all_of("limits"),
    all_of("counts"),
    all_of("early"),
    all_of("idle_ports"),
    all_of("namespaces"),
    all_of("sessions"),
    all_of(FEATURES),
];

/// All that can be named on any kernel.
pub const ALL: &[Suite] = &FULL;

/// What needs no more than three hosts that reach each other: it runs over NICs on a hub.
const HUB: [Suite; 4] = [
    all_of("driver"),
    all_of("one_port"),
    all_of("namespaces"),
    some_of("transfers", &["vsftpd_curl"]),
];

/// What runs on a kernel, in machines with these NICs.
pub const fn of(line: Line, nics: Option<Nic>, smoke: bool) -> &'static [Suite] {
    match (nics, line) {
        (Some(_), _) => &HUB,
        (None, Line::V6_12) if !smoke => &FULL,
        (None, _) => &SMOKE,
    }
}

/// A test program that has been built.
#[derive(Clone, Debug)]
pub struct Built {
    name: String,
    program: PathBuf,
}

/// A line of cargo's `--message-format=json`; most say something else.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the integration tests.
///
/// # Errors
/// When they do not compile.
pub fn build() -> Result<Vec<Built>> {
    let mut cargo = workspace::cargo(&["test", "--no-run", "--test=*"]);
    cargo
        .args(HOST)
        .arg("--message-format=json-render-diagnostics");
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("run cargo")?;
    let messages = child.stdout.take().context("it has a standard output")?;
    let mut built = Vec::new();
    for line in BufReader::new(messages).lines() {
        let Ok(message) = serde_json::from_str::<Message>(&line?) else {
            continue;
        };
        if let (Some(program), Some(target)) = (message.executable, message.target)
            && target.kind == ["test"]
        {
            let name = target.name;
            built.push(Built { name, program });
        }
    }
    ensure!(child.wait()?.success(), "the tests do not compile");
    Ok(built)
}

/// Modules that tests need and nothing loads by itself: the kernel asks for many by names that no
/// alias has. `crc32c_generic` is nf_tables', which does not say so.
const MODULES: [&str; 12] = [
    "veth",
    "bridge",
    "8021q",
    "macvlan",
    "dummy",
    "sch_ingress",
    "cls_bpf",
    "crc32c_generic",
    "nf_tables",
    "nft_ct",
    "nf_conntrack_ftp",
    "nf_nat_ftp",
];

/// The plan for process 1 of a machine; see `tests/vm-init/src/plan.rs`.
///
/// # Errors
/// When the suite was not built, or a path is no text.
pub fn plan(
    kernel: &Kernel,
    suite: &Suite,
    built: &[Built],
    filters: &[String],
    (accelerator, nics): (Accelerator, Option<Nic>),
) -> Result<String> {
    let mut lines = vec![
        vec!["version".to_owned(), kernel.version.clone()],
        vec![
            "directory".to_owned(),
            text(workspace::root().join("tests"))?,
        ],
    ];
    let drivers = nics.map(Nic::driver);
    let modules = MODULES.into_iter().chain(drivers);
    lines.extend(modules.map(|name| vec!["module".to_owned(), name.to_owned()]));
    for (name, value) in environment(accelerator, nics)? {
        lines.push(vec!["set".to_owned(), name.to_owned(), value]);
    }
    lines.push(suite_line(suite, built, filters)?);
    let lines: Vec<String> = lines.iter().map(|line| line.join("\t")).collect();
    Ok(lines.join("\n") + "\n")
}

fn suite_line(suite: &Suite, built: &[Built], filters: &[String]) -> Result<Vec<String>> {
    let Some(found) = built.iter().find(|it| it.name == suite.name) else {
        bail!("there is no test program {}", suite.name);
    };
    let name = suite.name.to_owned();
    let mut line = vec!["suite".to_owned(), name, text(found.program.clone())?];
    line.extend(["--include-ignored", "--test-threads=1"].map(str::to_owned));
    for skipped in suite.skipped {
        line.extend(["--skip".to_owned(), (*skipped).to_owned()]);
    }
    if filters.is_empty() {
        line.extend(suite.only.iter().map(|it| (*it).to_owned()));
    } else {
        line.extend_from_slice(filters);
    }
    Ok(line)
}

/// What the laboratory and its programs read.
fn environment(accelerator: Accelerator, nics: Option<Nic>) -> Result<Vec<(&'static str, String)>> {
    let mut environment = vec![
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME", "/root".to_owned()),
        ("FTPFW_FEATURES", "/run/results/features".to_owned()),
        ("FTPFW_OWN_KERNEL", "1".to_owned()),
        ("FTPFW_PATIENCE", accelerator.patience().to_string()),
    ];
    if accelerator == Accelerator::Tcg {
        // One in 25, a few fields of the matrix, half of the transfers among faults: a second of the
        // processor's is half a minute here.
        environment.push(("FTPFW_RANDOM", "2000".to_owned()));
        environment.push(("FTPFW_SPARSE", "8".to_owned()));
        environment.push(("FTPFW_TRANSFERS", "60".to_owned()));
    }
    if let Some(nic) = nics {
        environment.push((ftpfw_tests::nics::VARIABLE, topology::ADDRESSES.join(",")));
        environment.push(("FTPFW_DRIVER", nic.driver().to_owned()));
        environment.push(("FTPFW_MODE", "auto".to_owned()));
    }
    for (name, path) in programs(Profile::Release) {
        environment.push((name, text(path)?));
    }
    Ok(environment)
}

fn text(path: PathBuf) -> Result<String> {
    let path = path.into_os_string().into_string();
    path.map_err(|path| anyhow::anyhow!("{} is no text", path.display()))
}
