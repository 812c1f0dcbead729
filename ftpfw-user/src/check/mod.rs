//! `ftpfw check`: would it work? Changes nothing.
//!
//! A configuration file comes to [`Finding`]s ([`mod@file`]), this host to [`Check`]s: the kernel
//! ([`mod@kernel`]), the interfaces ([`mod@interface`]), the daemons and whoever else listens
//! ([`mod@daemons`]). This module shows them.

mod daemons;
mod file;
mod interface;
mod kernel;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    path::Path,
};

use anyhow::bail;
use serde::Serialize;

use crate::{
    cli::{CheckArgs, RunArgs},
    config::{Config, Value, WantedInterface, file::Keys},
};

/// Whether a finding is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// `ftpfw run` would refuse.
    Error,
    /// It may be meant so.
    Warning,
}

/// Something that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    /// From 1 on; `None` where there is no line to point at. So with the column, in characters.
    line: Option<usize>,
    column: Option<usize>,
    /// What it is, and what to do.
    message: String,
}

/// What was found about a file.
#[derive(Debug, Serialize)]
struct FileReport<'a> {
    file: &'a Path,
    findings: Vec<Finding>,
    /// Keys and what they come to, without flags; nothing if there is an error.
    configuration: BTreeMap<&'static str, Value>,
}

/// How something that was looked at is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// It works, but less well than it could, or than somebody expects.
    Warning,
    /// `ftpfw run` would fail, or could not be checked.
    Problem,
}

/// Something that was looked at on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    status: Status,
    /// `kernel`, `host`, or the interface.
    about: String,
    /// What was looked at; stable.
    check: &'static str,
    /// What it is.
    message: String,
    /// What to do; `None` where there is nothing to be done.
    remedy: Option<Cow<'static, str>>,
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    #[serde(flatten)]
    file: Option<FileReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
}

/// Checks what it is asked to.
///
/// # Errors
///
/// When `ftpfw run` would refuse or fail; what is wrong has been printed then.
pub async fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let (file, config) = args.config.as_deref().map(file::check).unzip();
    let config = match config.flatten() {
        Some(config) => config,
        None => Config::of(&RunArgs::default(), &Keys::default())?,
    };
    let checks = match args.is_of_host() {
        true => Some(host(args, &config).await?),
        false => None,
    };
    let problems = checks.iter().flatten();
    let problems = problems.filter(|it| it.status == Status::Problem).count();
    let usable = file.as_ref().is_none_or(FileReport::is_usable);
    let report = Report {
        ok: usable && problems == 0,
        file,
        checks,
    };
    show(&report, args.json)?;
    match (&report.file, problems) {
        (Some(file), _) if !usable => bail!("{} cannot be used", file.file.display()),
        (_, 0) => Ok(()),
        (_, 1) => bail!("a problem is in the way"),
        (_, problems) => bail!("{problems} problems are in the way"),
    }
}

/// Kernel, interfaces, and who listens.
async fn host(args: &CheckArgs, config: &Config) -> anyhow::Result<Vec<Check>> {
    let mut checks = kernel::check(config);
    for wanted in interfaces(args, config)? {
        checks.extend(interface::check(&wanted, config).await);
    }
    checks.extend(daemons::check(&config.ports));
    Ok(checks)
}

/// Those of the command line, and those of the file that are not among them.
fn interfaces(args: &CheckArgs, config: &Config) -> anyhow::Result<Vec<WantedInterface>> {
    let flags = RunArgs {
        interfaces: args.interfaces.clone(),
        ..RunArgs::default()
    };
    let mut wanted = Config::of(&flags, &Keys::default())?.interfaces;
    for of_file in &config.interfaces {
        if wanted.iter().all(|it| it.name != of_file.name) {
            wanted.push(of_file.clone());
        }
    }
    Ok(wanted)
}

fn show(report: &Report<'_>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        return writeln!(out);
    }
    if let Some(file) = &report.file {
        for finding in &file.findings {
            writeln!(out, "{}{finding}", file.file.display())?;
        }
        if file.is_usable() {
            writeln!(out, "{}: right", file.file.display())?;
        }
    }
    for check in report.checks.iter().flatten() {
        writeln!(out, "{check}")?;
    }
    Ok(())
}

impl FileReport<'_> {
    fn is_usable(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|it| it.severity != Severity::Error)
    }
}

impl Check {
    fn ok(about: &str, check: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: Status::Ok,
            about: about.to_owned(),
            check,
            message: message.into(),
            remedy: None,
        }
    }

    fn warning(about: &str, check: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            ..Self::ok(about, check, message)
        }
    }

    fn problem(about: &str, check: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: Status::Problem,
            ..Self::ok(about, check, message)
        }
    }

    fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Check {
    /// One line: `warning  eth0 lro: it is on; ethtool -K eth0 lro off`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Problem => "problem",
        };
        let (about, check, message) = (&self.about, self.check, &self.message);
        write!(f, "{status:<7}  {about} {check}: {message}")?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    /// Behind the name of the file: `:3:14: error: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}: {}", self.message)
    }
}
