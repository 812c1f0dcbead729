//! Runs the matrix: what works without a firewall, then the same under each.

use std::cmp::Reverse;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::choice::{Choice, Field, Station};
use super::side::{Side, Stand};

/// What came of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works, and the stranger was refused.
    Works,
    /// It failed, with this, and worked when it was tried again.
    Unsteady(String),
    /// It failed, under ftpfw twice; why it did the last time.
    Fails(String),
    /// It was not tried, for this reason.
    LeftOut(&'static str),
}

/// A field, and what came of it under each firewall. Under a firewall only that is tried which works
/// without one.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is tried.
    pub field: Field,
    /// First without a firewall.
    pub verdicts: Vec<(Side, Verdict)>,
}

impl Row {
    /// What came of it there; `None` when it was not tried.
    #[must_use]
    pub fn under(&self, side: Side) -> Option<&Verdict> {
        let found = self.verdicts.iter().find(|(other, _)| *other == side);
        found.map(|(_, verdict)| verdict)
    }

    /// Whether it works without a firewall: only then is it held against one.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.under(Side::Nobody) == Some(&Verdict::Works)
    }
}

/// A server under one firewall, after all its fields.
#[derive(Clone, Debug)]
pub struct Done {
    /// Who filtered.
    pub side: Side,
    /// Which server.
    pub station: Station,
    /// How many fields were tried.
    pub tried: usize,
    /// How many of them did not work.
    pub failed: usize,
    /// SYNs of the client's that ftpfw dropped because they came before their tuple.
    pub early: u64,
    /// What was wrong besides the fields.
    pub trouble: Option<String>,
    /// How long it took.
    pub time: Duration,
}

/// A server under one firewall, and which rows it is for.
struct Work {
    side: Side,
    station: Station,
    rows: Vec<usize>,
}

/// Runs what is chosen, `jobs` servers side by side. `tell` hears of each that is done.
#[must_use]
pub fn run(
    choice: &Choice,
    jobs: NonZero<usize>,
    tell: &(dyn Fn(&Done) + Sync),
) -> (Vec<Row>, Vec<Done>) {
    let begin = |field: Field| Row {
        field,
        verdicts: field
            .left_out()
            .map(|why| (Side::Nobody, Verdict::LeftOut(why)))
            .into_iter()
            .collect(),
    };
    let mut rows: Vec<Row> = choice.fields().into_iter().map(begin).collect();
    let mut done = Vec::new();
    let untried = |row: &Row| row.verdicts.is_empty();
    let mut pass = |sides: &[Side], rows: &mut Vec<Row>, wanted: fn(&Row) -> bool| {
        let works = plan(sides, rows, wanted);
        let found = side_by_side(jobs, &works, |work| work.run(rows, tell));
        for (verdicts, one) in found {
            for (row, verdict) in verdicts {
                rows[row].verdicts.push((one.side, verdict));
            }
            done.push(one);
        }
    };
    pass(&[Side::Nobody], &mut rows, untried);
    pass(&choice.sides, &mut rows, Row::is_possible);
    (rows, done)
}

/// The longest first, so that none of them is what the others end up waiting for.
fn plan(sides: &[Side], rows: &[Row], wanted: impl Fn(&Row) -> bool) -> Vec<Work> {
    let mut works: Vec<Work> = Vec::new();
    for &side in sides {
        for (number, row) in rows.iter().enumerate().filter(|(_, row)| wanted(row)) {
            let station = row.field.station();
            let is_it = |work: &&mut Work| (work.side, work.station) == (side, station);
            match works.iter_mut().find(is_it) {
                Some(work) => work.rows.push(number),
                None => works.push(Work {
                    side,
                    station,
                    rows: vec![number],
                }),
            }
        }
    }
    works.sort_by_key(|work| Reverse(work.rows.len()));
    works
}

impl Work {
    fn run(&self, rows: &[Row], tell: &(dyn Fn(&Done) + Sync)) -> (Vec<(usize, Verdict)>, Done) {
        let begin = Instant::now();
        let (verdicts, closed) = match Stand::new(self.side, self.station) {
            Ok(stand) => {
                let verdict = |&row: &usize| (row, verdict(&stand, rows[row].field));
                let verdicts: Vec<_> = self.rows.iter().map(verdict).collect();
                (verdicts, stand.close())
            }
            Err(error) => (Vec::new(), Err(error.context("start"))),
        };
        let is_failed = |(_, verdict): &&(usize, Verdict)| *verdict != Verdict::Works;
        let failed = verdicts.iter().filter(is_failed).count();
        let (early, trouble) = match closed {
            Ok(early) => (early, None),
            Err(error) => (0, Some(format!("{error:#}"))),
        };
        let done = Done {
            side: self.side,
            station: self.station,
            tried: verdicts.len(),
            failed,
            early,
            trouble,
            time: begin.elapsed(),
        };
        tell(&done);
        (verdicts, done)
    }
}

/// What fails under ftpfw is tried again: a real client on a busy machine may lose a race of its own.
/// What fails without a firewall is held against nobody.
fn verdict(stand: &Stand, field: Field) -> Verdict {
    match stand.play(field) {
        Ok(()) => Verdict::Works,
        Err(error) if !matches!(stand.side, Side::Ftpfw(..)) => {
            Verdict::Fails(format!("{error:#}"))
        }
        Err(first) => match stand.play(field) {
            Ok(()) => Verdict::Unsteady(format!("{first:#}")),
            Err(again) => Verdict::Fails(format!("{again:#}")),
        },
    }
}

/// Hands the items to threads; what they make of them, in the items' order.
fn side_by_side<T: Sync, R: Send>(
    jobs: NonZero<usize>,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let take = || {
        let number = next.fetch_add(1, Relaxed);
        items.get(number).map(|item| (number, item))
    };
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some((number, item)) = take() {
                    let result = work(item);
                    done.lock().expect("no panic").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
