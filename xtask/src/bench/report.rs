//! What a benchmark found: tables and goals, for people as text and Markdown, for programs as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rounds::Samples;
use super::statistics::Estimate;

/// Everything that one run found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The subcommand.
    pub name: &'static str,
    pub machine: Machine,
    pub tables: Vec<Table>,
    pub goals: Vec<Goal>,
}

/// Where it was found.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub linux: String,
}

/// One measurement of several contenders.
#[derive(Debug, Serialize)]
pub struct Table {
    pub title: String,
    /// Of the values.
    pub unit: &'static str,
    /// What the ratios are against; none of them is where there is nothing to compare with.
    pub against: Option<String>,
    pub rows: Vec<Row>,
}

/// One contender in it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub value: Estimate,
    /// How much better than the table's reference: 2 is twice as fast.
    pub ratio: Option<Estimate>,
}

/// What was to be reached.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub what: String,
    pub bound: Bound,
    pub found: Estimate,
    /// By the median.
    pub met: bool,
}

/// A goal's number.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Whether small values are good ones (costs) or large ones (rates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

impl Report {
    pub fn new(name: &'static str) -> Result<Self> {
        Ok(Self {
            name,
            machine: Machine::here()?,
            tables: Vec::new(),
            goals: Vec::new(),
        })
    }

    /// Adds a table and prints it.
    pub fn table(&mut self, table: Table) {
        println!("── {}, {}", table.title, table.unit);
        for row in &table.rows {
            let ratio = row.ratio.map_or(String::new(), |ratio| ratio.to_string());
            println!("{:<30} {:>9.1}  {ratio}", row.name, row.value.median);
        }
        self.tables.push(table);
    }

    /// Adds a goal and prints it.
    pub fn goal(&mut self, what: impl Into<String>, bound: Bound, found: Estimate) {
        let met = match bound {
            Bound::AtLeast(least) => found.median >= least,
            Bound::AtMost(most) => found.median <= most,
        };
        let goal = Goal {
            what: what.into(),
            bound,
            found,
            met,
        };
        println!(
            "  {}: {found}, goal {}: {}",
            goal.what,
            bound.text(),
            goal.word()
        );
        self.goals.push(goal);
    }

    /// The page of this run.
    pub fn markdown(&self) -> Result<String> {
        let Machine {
            cores,
            processor,
            linux,
        } = &self.machine;
        let mut text = format!("{cores} cores ({processor}), Linux {linux}.\n");
        for table in &self.tables {
            writeln!(text, "\n**{}**\n", table.title)?;
            match &table.against {
                Some(against) => writeln!(text, "| | {} | {against} = 1 |", table.unit)?,
                None => writeln!(text, "| | {} | |", table.unit)?,
            }
            writeln!(text, "|---|---:|---:|")?;
            for row in &table.rows {
                let ratio = row.ratio.map_or(String::new(), |it| it.to_string());
                writeln!(text, "| {} | {:.1} | {ratio} |", row.name, row.value.median)?;
            }
        }
        if !self.goals.is_empty() {
            writeln!(text, "\n| goal | wanted | found | |\n|---|---|---|---|")?;
        }
        for goal in &self.goals {
            let (wanted, word) = (goal.bound.text(), goal.word());
            writeln!(
                text,
                "| {} | {wanted} | {} | {word} |",
                goal.what, goal.found
            )?;
        }
        Ok(text)
    }

    /// # Errors
    /// Those of the file.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {}", path.display()))?;
        println!("written: {}", path.display());
        Ok(())
    }
}

impl Machine {
    fn here() -> Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let mut lines = cpus.lines().filter(|line| line.starts_with("model name"));
        let processor = lines.next().and_then(|line| line.split(": ").nth(1));
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.unwrap_or("unknown").to_owned(),
            linux: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        })
    }
}

impl Table {
    /// All contenders, each against the one that is `reference`.
    ///
    /// # Errors
    /// When there were no rounds.
    pub fn new(
        title: impl Into<String>,
        (unit, better): (&'static str, Better),
        names: &[impl AsRef<str>],
        samples: &Samples,
        reference: usize,
    ) -> Result<Self> {
        let row = |(at, name): (usize, &_)| {
            let ratio = match better {
                Better::Lower => samples.ratio(reference, at)?,
                Better::Higher => samples.ratio(at, reference)?,
            };
            Ok(Row {
                name: AsRef::<str>::as_ref(name).to_owned(),
                value: samples.of(at)?,
                ratio: Some(ratio),
            })
        };
        Ok(Self {
            title: title.into(),
            unit,
            against: Some(names[reference].as_ref().to_owned()),
            rows: names.iter().enumerate().map(row).collect::<Result<_>>()?,
        })
    }
}

impl Goal {
    const fn word(&self) -> &'static str {
        if self.met { "met" } else { "NOT MET" }
    }
}

impl Bound {
    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", rounded(least)),
            Self::AtMost(most) => format!("≤ {}", rounded(most)),
        }
    }
}

/// As few digits as say it.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
