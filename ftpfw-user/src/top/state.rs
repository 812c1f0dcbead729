//! The last look, what was dropped before it, and what the user chose to see.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, VecDeque},
};

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    look::{Look, Transfer},
    order::{self, Order},
};
use crate::query::model::{RunningRow, SessionRow, Stats, TupleRow};

/// How many rates of a reason are kept: as many as the widest terminal shows.
const KEPT: usize = 500;
/// The longest filter: no address is longer.
const LONGEST_FILTER: usize = 45;
/// Rows that Page Up and Page Down go.
const PAGE: usize = 10;

/// A part of the screen that has rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Sessions,
    Transfers,
    Tuples,
    Drops,
}

impl Pane {
    pub(super) const ALL: [Self; 4] = [Self::Sessions, Self::Transfers, Self::Tuples, Self::Drops];

    fn orders(self) -> usize {
        match self {
            Self::Sessions => order::SESSIONS.len(),
            Self::Transfers => order::TRANSFERS.len(),
            Self::Tuples => order::TUPLES.len(),
            Self::Drops => order::DROPS.len(),
        }
    }
}

/// What the user chose to see of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Which of its orders.
    pub(super) order: usize,
    pub(super) reversed: bool,
    /// Which row is marked; there may be fewer by now.
    pub(super) marked: usize,
}

/// What keys mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Watching,
    /// Letters go into the filter.
    Filtering,
    /// The keys are explained.
    Help,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Watch,
    Quit,
    Suspend,
}

/// A reason to drop, and how often it was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) reason: &'static str,
    pub(super) total: u64,
    /// A second, at the last look.
    pub(super) rate: u64,
}

/// Everything that a frame is drawn from.
#[derive(Debug)]
pub(super) struct State {
    pub(super) look: Look,
    /// How often a second each was counted of late; `None` before the second look.
    pub(super) rates: Option<Stats>,
    /// Rates of each reason to drop, the last at the end.
    drops: BTreeMap<&'static str, VecDeque<u64>>,
    pub(super) pane: Pane,
    views: [View; Pane::ALL.len()],
    /// Only clients whose address has this in it.
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) colour: bool,
}

impl State {
    pub(super) fn new(look: Look, colour: bool) -> Self {
        Self {
            look,
            rates: None,
            drops: BTreeMap::new(),
            pane: Pane::Sessions,
            views: [View::default(); Pane::ALL.len()],
            filter: String::new(),
            mode: Mode::Watching,
            colour,
        }
    }

    /// Takes the next look.
    pub(super) fn update(&mut self, mut look: Look) {
        rate(&mut look.transfers, &self.look.transfers);
        let elapsed = look.at_ms.saturating_sub(self.look.at_ms);
        let rates = look.stats.rates(&self.look.stats, elapsed);
        for (reason, rate) in counted(&rates, look.policy.dry_run) {
            let history = self.drops.entry(reason).or_default();
            if history.len() == KEPT {
                history.pop_front();
            }
            history.push_back(*rate);
        }
        self.rates = Some(rates);
        self.look = look;
    }

    pub(super) fn view(&self, pane: Pane) -> View {
        self.views[pane as usize]
    }

    pub(super) fn sessions(&self) -> Vec<&SessionRow> {
        let rows = self.look.sessions.iter();
        let rows = rows.filter(|row| self.shows(&row.client.to_string()));
        self.sorted(Pane::Sessions, &order::SESSIONS, rows.collect())
    }

    pub(super) fn transfers(&self) -> Vec<&Transfer> {
        let rows = self.look.transfers.iter();
        let rows = rows.filter(|it| self.shows(&it.row.client.to_string()));
        self.sorted(Pane::Transfers, &order::TRANSFERS, rows.collect())
    }

    pub(super) fn tuples(&self) -> Vec<&TupleRow> {
        let rows = self.look.tuples.iter();
        let rows = rows.filter(|row| self.shows(&row.client.to_string()));
        self.sorted(Pane::Tuples, &order::TUPLES, rows.collect())
    }

    /// Reasons that there were; the filter does not matter, as drops are not counted by client.
    pub(super) fn drops(&self) -> Vec<Dropped> {
        let all = counted(&self.look.stats, self.look.policy.dry_run);
        let there = all.iter().filter(|(_, total)| **total != 0);
        let drops = there.map(|(reason, total)| Dropped {
            reason,
            total: *total,
            rate: self.history(reason).next_back().unwrap_or(0),
        });
        self.sorted(Pane::Drops, &order::DROPS, drops.collect())
    }

    /// Rates of a reason, the latest at the end.
    pub(super) fn history(&self, reason: &str) -> impl DoubleEndedIterator<Item = u64> {
        self.drops.get(reason).into_iter().flatten().copied()
    }

    /// Sessions by their number.
    pub(super) fn by_number(&self) -> HashMap<u64, &SessionRow> {
        self.look.sessions.iter().map(|row| (row.id, row)).collect()
    }

    fn shows(&self, client: &str) -> bool {
        client.contains(&self.filter)
    }

    fn sorted<R: Borrow<T>, T>(&self, pane: Pane, orders: &[Order<T>], mut rows: Vec<R>) -> Vec<R> {
        let View {
            order, reversed, ..
        } = self.view(pane);
        rows.sort_by(|a, b| (orders[order].compare)(a.borrow(), b.borrow()));
        if reversed {
            rows.reverse();
        }
        rows
    }

    /// Does what an event of the terminal asks for.
    pub(super) fn on(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => self.key(*key),
            // A new size is drawn for like anything else.
            _ => Wish::Watch,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Wish::Quit,
                KeyCode::Char('z') => Wish::Suspend,
                _ => Wish::Watch,
            };
        }
        match self.mode {
            Mode::Watching => return self.command(key.code),
            Mode::Filtering => self.letter(key.code),
            Mode::Help => self.mode = Mode::Watching,
        }
        Wish::Watch
    }

    fn command(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.turn(Pane::ALL.len() - 1),
            KeyCode::Down | KeyCode::Char('j') => self.mark(|marked| marked + 1),
            KeyCode::Up | KeyCode::Char('k') => self.mark(|marked| marked.saturating_sub(1)),
            KeyCode::PageDown => self.mark(|marked| marked + PAGE),
            KeyCode::PageUp => self.mark(|marked| marked.saturating_sub(PAGE)),
            KeyCode::Home => self.mark(|_| 0),
            KeyCode::End => self.mark(|_| usize::MAX),
            KeyCode::Char('s') => {
                let orders = self.pane.orders();
                let view = self.view_mut();
                view.order = (view.order + 1) % orders;
            }
            KeyCode::Char('r') => self.view_mut().reversed ^= true,
            KeyCode::Char('/') => self.mode = Mode::Filtering,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Esc => self.filter.clear(),
            _ => {}
        }
        Wish::Watch
    }

    fn letter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Watching,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Watching;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if self.filter.len() < LONGEST_FILTER => {
                // Addresses are printed in small letters.
                self.filter.push(letter.to_ascii_lowercase());
            }
            _ => {}
        }
    }

    fn turn(&mut self, by: usize) {
        let next = (self.pane as usize + by) % Pane::ALL.len();
        self.pane = Pane::ALL[next];
    }

    /// Marks another row of the pane, one that there is.
    fn mark(&mut self, to: impl FnOnce(usize) -> usize) {
        let rows = match self.pane {
            Pane::Sessions => self.sessions().len(),
            Pane::Transfers => self.transfers().len(),
            Pane::Tuples => self.tuples().len(),
            Pane::Drops => self.drops().len(),
        };
        let last = rows.saturating_sub(1);
        let view = self.view_mut();
        view.marked = to(view.marked.min(last)).min(last);
    }

    fn view_mut(&mut self) -> &mut View {
        &mut self.views[self.pane as usize]
    }
}

/// What became of each transfer since the look `before`.
fn rate(transfers: &mut [Transfer], before: &[Transfer]) {
    let ends = |row: &RunningRow| (row.client, row.client_port, row.server, row.port);
    let before: HashMap<_, _> = before.iter().map(|it| (ends(&it.row), &it.row)).collect();
    for Transfer { row, rate } in transfers {
        let since = before.get(&ends(row)).copied().and_then(|before| {
            // Another one between the same ends is younger than that.
            let ms = row.duration_ms.checked_sub(before.duration_ms)?;
            let bytes = row.bytes?.checked_sub(before.bytes?)?;
            bytes.saturating_mul(1000).checked_div(ms)
        });
        *rate = since;
    }
}

/// What is dropped, or would be.
fn counted(stats: &Stats, dry_run: bool) -> &BTreeMap<&'static str, u64> {
    match dry_run {
        true => &stats.would_drop,
        false => &stats.drop,
    }
}
