//! `cargo xtask matrix`: real servers × real clients under every firewall, beside what works without one.

mod json;
mod page;
mod table;

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use ftpfw_tests::client::{Deed, Mode, Tool};
use ftpfw_tests::lab::Family;
use ftpfw_tests::matrix::choice::{Choice, DAEMONS};
use ftpfw_tests::matrix::run::{self, Done, Row, Verdict};
use ftpfw_tests::matrix::side::{self, Opener, Side};
use ftpfw_tests::server::Daemon;
use ftpfw_tests::tls::Tls;

use crate::phases::Phases;
use crate::{setup, test, workspace};

/// What to run. Every option may be given several times; without it, all of its values are run.
#[derive(Debug, Args)]
pub struct Matrix {
    /// FTP server
    #[arg(long = "server", value_parser = named(&DAEMONS, Daemon::name), value_name = "SERVER")]
    servers: Vec<Daemon>,
    /// FTP client
    #[arg(long = "client", value_parser = named(&Tool::ALL, Tool::name), value_name = "CLIENT")]
    clients: Vec<Tool>,
    /// How the data connection is negotiated
    #[arg(long = "negotiation", value_parser = named(&Mode::ALL, Mode::verb), ignore_case = true)]
    #[arg(value_name = "COMMAND")]
    negotiations: Vec<Mode>,
    /// Kind of TLS
    #[arg(long, value_parser = named(&Tls::ALL, Tls::name), value_name = "KIND")]
    tls: Vec<Tls>,
    /// Protocol
    #[arg(long = "family", value_parser = named(&Family::ALL, Family::name), ignore_case = true)]
    #[arg(value_name = "FAMILY")]
    families: Vec<Family>,
    /// What the client does
    #[arg(long = "action", value_parser = named(&Deed::ALL, Deed::name), value_name = "ACTION")]
    actions: Vec<Deed>,
    /// Where ftpfw attaches its filter
    #[arg(long = "mode", value_parser = named(&side::Mode::ALL, side::Mode::name))]
    #[arg(value_name = "MODE")]
    modes: Vec<side::Mode>,
    /// Who arms tuples
    #[arg(long = "opener", value_parser = named(&Opener::ALL, Opener::name))]
    #[arg(value_name = "OPENER")]
    openers: Vec<Opener>,
    /// Leave nftables with the kernel's FTP helper out
    #[arg(long)]
    without_nftables: bool,
    /// A sample of the cells, one in eight, in which nearly every value meets every other
    #[arg(long)]
    quick: bool,
    /// Servers side by side, each in namespaces of its own [default: 2 for each processor]
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Where to write every cell [default: target/matrix.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write docs/matrix.md from what was found
    #[arg(long)]
    page: bool,
}

/// Values by their names.
fn named<T>(all: &'static [T], name: fn(T) -> &'static str) -> ValueParser
where
    T: Copy + Send + Sync + 'static,
{
    let names = PossibleValuesParser::new(all.iter().map(|value| name(*value)));
    let value = move |word: String| {
        let is_it = |value: &&T| name(**value).eq_ignore_ascii_case(&word);
        let found = all.iter().find(is_it).copied();
        found.ok_or("there is no such value")
    };
    names.try_map(value).into()
}

/// What was found.
struct Found {
    sides: Vec<Side>,
    rows: Vec<Row>,
    done: Vec<Done>,
    jobs: NonZero<usize>,
    time: Duration,
}

/// Sets up, builds, runs, shows.
///
/// # Errors
/// When something cannot be had or built, or when a cell that works without a firewall fails under
/// ftpfw.
pub fn run(matrix: &Matrix) -> Result<()> {
    let mut phases = Phases::default();
    phases.step("set up", setup::everything)?;
    test::build_ftpfw(&mut phases)?;
    test::build_embedded_server(&mut phases)?;
    let choice = matrix.choice();
    let jobs = matrix.jobs.unwrap_or_else(|| {
        let cpus = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        cpus.saturating_mul(NonZero::<usize>::MIN.saturating_add(1))
    });
    let begin = Instant::now();
    let (rows, done) = run::run(&choice, jobs, &|done| println!("{}", table::progress(done)));
    ensure!(!rows.is_empty(), "no cell is in all of these lists");
    let found = Found {
        sides: choice.sides,
        rows,
        done,
        jobs,
        time: begin.elapsed(),
    };
    let path = matrix.json.clone();
    let path = path.unwrap_or_else(|| workspace::target().join("matrix.json"));
    json::write(&path, &found)?;
    table::print(&found);
    println!("every cell: {}", path.display());
    if matrix.page {
        page::write(&found)?;
    }
    found.judge()
}

impl Matrix {
    fn choice(&self) -> Choice {
        let all = Choice::everything();
        let is_chosen = |side: &Side| match side {
            Side::Nobody => true,
            Side::Nftables => !self.without_nftables,
            Side::Ftpfw(mode, opener) => {
                let mode = self.modes.is_empty() || self.modes.contains(mode);
                mode && (self.openers.is_empty() || self.openers.contains(opener))
            }
        };
        Choice {
            daemons: some_or(&self.servers, all.daemons),
            tools: some_or(&self.clients, all.tools),
            tls: some_or(&self.tls, all.tls),
            modes: some_or(&self.negotiations, all.modes),
            families: some_or(&self.families, all.families),
            deeds: some_or(&self.actions, all.deeds),
            sides: all.sides.into_iter().filter(is_chosen).collect(),
            quick: self.quick,
            sparse: all.sparse,
        }
    }
}

fn some_or<T: Clone>(some: &[T], all: Vec<T>) -> Vec<T> {
    if some.is_empty() { all } else { some.to_vec() }
}

impl Found {
    /// Under how many firewalls a row was tried, and under how many of them it works.
    fn score(&self, side: Side, wanted: impl Fn(&Row) -> bool) -> (usize, usize) {
        let rows = || {
            self.rows
                .iter()
                .filter(|row| row.is_possible() && wanted(row))
        };
        let works = |row: &&Row| {
            let verdict = row.under(side);
            matches!(verdict, Some(Verdict::Works | Verdict::Unsteady(_)))
        };
        (rows().filter(works).count(), rows().count())
    }

    /// Cells that fail under ftpfw, and what was said.
    fn failures(&self) -> impl Iterator<Item = (&Row, Side, &str)> {
        self.rows.iter().flat_map(|row| {
            row.verdicts
                .iter()
                .filter_map(move |(side, verdict)| match (side, verdict) {
                    (Side::Ftpfw(..), Verdict::Fails(said)) => Some((row, *side, said.as_str())),
                    _ => None,
                })
        })
    }

    /// Cells that work when they are tried again.
    fn unsteady(&self) -> impl Iterator<Item = (&Row, Side, &str)> {
        self.rows.iter().flat_map(|row| {
            row.verdicts
                .iter()
                .filter_map(move |(side, verdict)| match verdict {
                    Verdict::Unsteady(said) => Some((row, *side, said.as_str())),
                    _ => None,
                })
        })
    }

    fn judge(&self) -> Result<()> {
        let failed = self.failures().count();
        let troubles = self
            .done
            .iter()
            .filter(|done| done.trouble.is_some())
            .count();
        if failed + troubles > 0 {
            bail!(
                "{failed} cells fail under ftpfw and not without; {troubles} servers had trouble besides"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::time::Duration;

    use clap::Parser as _;
    use ftpfw_tests::matrix::choice::Choice;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        matrix: Matrix,
    }

    fn choice(words: &str) -> Choice {
        let words = ["matrix"].into_iter().chain(words.split_whitespace());
        Line::try_parse_from(words)
            .expect("right usage")
            .matrix
            .choice()
    }

    /// One cell, which works without a firewall and does that under another.
    fn found(side: Side, verdict: Verdict) -> Found {
        let field = choice("--server vsftpd --client curl").fields()[0];
        Found {
            sides: vec![side],
            rows: vec![Row {
                field,
                verdicts: vec![(Side::Nobody, Verdict::Works), (side, verdict)],
            }],
            done: Vec::new(),
            jobs: NonZero::<usize>::MIN,
            time: Duration::ZERO,
        }
    }

    #[test]
    fn the_options_choose() {
        let one =
            choice("--server pure-ftpd --negotiation pasv --family ipv4 --mode tc --opener agent");
        assert_eq!(one.daemons, [Daemon::PureFtpd]);
        assert_eq!(one.modes, [Mode::Pasv]);
        assert_eq!(one.families, [Family::V4]);
        let tc = Side::Ftpfw(side::Mode::Tc, Opener::Agent);
        assert_eq!(one.sides, [tc, Side::Nftables]);
        assert_eq!(choice("").sides.len(), 7);
        assert_eq!(choice("--without-nftables --mode tc").sides.len(), 2);
        assert!(Line::try_parse_from(["matrix", "--server", "iis"]).is_err());
    }

    #[test]
    fn a_failure_under_ftpfw_fails_the_command_and_one_under_nftables_does_not() {
        let ftpfw = Side::Ftpfw(side::Mode::Native, Opener::Inline);
        let fails = || Verdict::Fails("curl: (28) timed out".to_owned());
        assert!(found(ftpfw, Verdict::Works).judge().is_ok());
        assert!(found(Side::Nftables, fails()).judge().is_ok());
        assert!(found(ftpfw, fails()).judge().is_err());
    }

    #[test]
    fn the_page_has_the_failures() {
        let page = page::page(&found(Side::Nftables, Verdict::Fails(String::new())));
        assert!(
            page.contains("| curl | none | PASV | 1 of 1 | **0** |"),
            "{page}"
        );
        let page = page::page(&found(Side::Nftables, Verdict::Works));
        assert!(
            page.contains("| curl | none | PASV | 1 of 1 | all |"),
            "{page}"
        );
    }
}
