//! Every cell, for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use ftpfw_tests::matrix::run::{Row, Verdict};
use serde::Serialize;

use super::Found;

#[derive(Serialize)]
struct Report<'a> {
    seconds: f64,
    jobs: usize,
    cells: Vec<Cell<'a>>,
}

/// A cell under every firewall, by the heading of its column.
#[derive(Serialize)]
struct Cell<'a> {
    server: &'static str,
    client: &'static str,
    tls: &'static str,
    negotiation: &'static str,
    family: &'static str,
    action: &'static str,
    under: BTreeMap<String, Outcome<'a>>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    /// `works`, `unsteady`, `fails` or `left-out`.
    verdict: &'static str,
    /// What the client said when it failed, or why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<&'a str>,
}

/// Writes the report.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, found: &Found) -> Result<()> {
    let report = Report {
        seconds: found.time.as_secs_f64(),
        jobs: found.jobs.get(),
        cells: found.rows.iter().map(cell).collect(),
    };
    let text = serde_json::to_string_pretty(&report)? + "\n";
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn cell(row: &Row) -> Cell<'_> {
    let field = row.field;
    let under = row.verdicts.iter().map(|(side, verdict)| {
        let outcome = outcome(verdict);
        (side.name(), outcome)
    });
    Cell {
        server: field.daemon.name(),
        client: field.cell.tool.name(),
        tls: field.cell.security.tls.name(),
        negotiation: field.cell.mode.verb(),
        family: field.cell.family.name(),
        action: field.deed.name(),
        under: under.collect(),
    }
}

fn outcome(verdict: &Verdict) -> Outcome<'_> {
    let (verdict, said) = match verdict {
        Verdict::Works => ("works", None),
        Verdict::Unsteady(said) => ("unsteady", Some(said.as_str())),
        Verdict::Fails(said) => ("fails", Some(said.as_str())),
        Verdict::LeftOut(why) => ("left-out", Some(*why)),
    };
    Outcome { verdict, said }
}
