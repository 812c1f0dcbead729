//! `ftpfw check`: would it work? Changes nothing.
//!
//! Each thing that can be checked is a module that comes to [`Finding`]s; this one shows them.

mod file;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    path::Path,
};

use anyhow::bail;
use serde::Serialize;

use crate::{
    cli::CheckArgs,
    config::{UsageError, Value},
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

/// Something that was found.
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
struct Report<'a> {
    file: &'a Path,
    ok: bool,
    findings: Vec<Finding>,
    /// Keys and what they come to, without flags; nothing if there is an error.
    configuration: BTreeMap<&'static str, Value>,
}

/// Checks what it is asked to.
///
/// # Errors
///
/// When `ftpfw run` would refuse; what is wrong has been printed then.
pub fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let Some(path) = &args.config else {
        return Err(
            UsageError("what is to be checked? Name a file, --config FILE".to_owned()).into(),
        );
    };
    let report = file::check(path);
    show(&report, args.json)?;
    match report.ok {
        true => Ok(()),
        false => bail!("{} cannot be used", path.display()),
    }
}

fn show(report: &Report<'_>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        return writeln!(out);
    }
    for finding in &report.findings {
        writeln!(out, "{}{finding}", report.file.display())?;
    }
    if report.ok {
        writeln!(out, "{}: right", report.file.display())?;
    }
    Ok(())
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
