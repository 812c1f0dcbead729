//! The panes: a title, a header, and the rows around the marked one.

use std::{borrow::Borrow, ops::Range};

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Block, Borders, Cell, Row, Sparkline, Table},
};

use super::{
    super::{
        order,
        state::{Pane, State, View},
    },
    columns::{self, Column, Sessions},
    lines::coloured,
};
use crate::query::units::count;

/// Blanks between columns.
const GAP: u16 = 2;

/// Draws a pane.
pub(super) fn draw(
    state: &State,
    sessions: &Sessions<'_>,
    pane: Pane,
    area: Rect,
    frame: &mut Frame<'_>,
) {
    let View {
        order, reversed, ..
    } = state.view(pane);
    let look = &state.look;
    let place = Place {
        state,
        sessions,
        pane,
        area,
    };
    let turned = if reversed { " reversed" } else { "" };
    let title = |shown: usize, all: usize, order: &str| {
        let of = match shown == all {
            true => count_of(all),
            false => format!("{} of {}", count_of(shown), count_of(all)),
        };
        format!("{} {of}, by {order}{turned}", name(state, pane))
    };
    match pane {
        Pane::Sessions => {
            let rows = state.sessions();
            let title = title(rows.len(), look.sessions.len(), order::SESSIONS[order].name);
            place.list(title, &rows, columns::SESSIONS, frame);
        }
        Pane::Transfers => {
            let rows = state.transfers();
            let title = title(
                rows.len(),
                look.transfers.len(),
                order::TRANSFERS[order].name,
            );
            place.list(title, &rows, columns::TRANSFERS, frame);
        }
        Pane::Tuples => {
            let rows = state.tuples();
            let title = title(rows.len(), look.tuples.len(), order::TUPLES[order].name);
            place.list(title, &rows, columns::TUPLES, frame);
        }
        Pane::Drops => {
            let rows = state.drops();
            let title = title(rows.len(), rows.len(), order::DROPS[order].name);
            let (shown, beside) = place.list(title, &rows, columns::DROPS, frame);
            for (row, line) in rows[shown].iter().zip(beside.rows()) {
                sparkline(state, row.reason, line, frame);
            }
        }
    }
}

fn name(state: &State, pane: Pane) -> &'static str {
    match pane {
        Pane::Sessions => "Sessions",
        Pane::Transfers => "Transfers",
        Pane::Tuples => "Tuples",
        Pane::Drops if state.look.policy.dry_run => "Would drop, reasons:",
        Pane::Drops => "Drops, reasons:",
    }
}

fn count_of(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The rates of a reason, as many as there is room for.
fn sparkline(state: &State, reason: &str, area: Rect, frame: &mut Frame<'_>) {
    let history: Vec<_> = state.history(reason).collect();
    let first = history.len().saturating_sub(area.width.into());
    let rates = &history[first..];
    let width = u16::try_from(rates.len()).unwrap_or(area.width);
    let [_, area] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(area);
    let line = Sparkline::default().data(rates);
    frame.render_widget(line.style(coloured(state, Color::Red)), area);
}

/// Where a pane is drawn, and from what.
struct Place<'a> {
    state: &'a State,
    sessions: &'a Sessions<'a>,
    pane: Pane,
    area: Rect,
}

impl Place<'_> {
    /// Draws a table; which rows are seen, and what is free to the right of them.
    fn list<T, R: Borrow<T>>(
        &self,
        title: String,
        rows: &[R],
        columns: &[Column<T>],
        frame: &mut Frame<'_>,
    ) -> (Range<usize>, Rect) {
        let focused = self.pane == self.state.pane;
        let mut style = coloured(self.state, Color::Cyan);
        if focused {
            style = style.add_modifier(Modifier::BOLD | Modifier::REVERSED);
        }
        let block = Block::new()
            .borders(Borders::TOP)
            .title(Line::styled(format!(" {title} "), style));
        let inner = block.inner(self.area);
        frame.render_widget(block, self.area);

        let lines = usize::from(inner.height.saturating_sub(1));
        let marked = self
            .state
            .view(self.pane)
            .marked
            .min(rows.len().saturating_sub(1));
        let shown = window(rows.len(), lines, marked);
        let columns = columns.iter().filter(|column| column.from <= inner.width);
        let sheet: Vec<_> = columns
            .map(|column| Filled::new(column, &rows[shown.clone()], self.sessions))
            .collect();
        let mark = focused.then(|| marked - shown.start);
        let width = sheet.iter().map(|column| column.width + GAP).sum();
        frame.render_widget(table(&sheet, shown.len(), mark), inner);
        let [_, beside] =
            Layout::horizontal([Constraint::Length(width), Constraint::Fill(1)]).areas(inner);
        // Below the header.
        let beside = Rect {
            y: beside.y.saturating_add(1),
            height: beside.height.saturating_sub(1),
            ..beside
        };
        (shown, beside)
    }
}

/// Which of `rows` are seen in so many `lines`, so that the marked one is among them.
fn window(rows: usize, lines: usize, marked: usize) -> Range<usize> {
    let start = (marked + 1).saturating_sub(lines);
    start..rows.min(start + lines)
}

/// A column with the texts of the rows that are seen.
struct Filled {
    title: &'static str,
    alignment: Alignment,
    width: u16,
    texts: Vec<String>,
}

impl Filled {
    fn new<T, R: Borrow<T>>(column: &Column<T>, rows: &[R], sessions: &Sessions<'_>) -> Self {
        let texts: Vec<_> = rows
            .iter()
            .map(|row| (column.text)(row.borrow(), sessions))
            .collect();
        let widest = texts.iter().map(|text| Text::raw(text).width()).max();
        let width = widest.unwrap_or(0).max(column.title.len());
        Self {
            title: column.title,
            alignment: match column.number {
                true => Alignment::Right,
                false => Alignment::Left,
            },
            width: u16::try_from(width).unwrap_or(u16::MAX),
            texts,
        }
    }

    fn cell(&self, text: &str) -> Cell<'static> {
        Cell::from(Text::from(text.to_owned()).alignment(self.alignment))
    }
}

fn table(sheet: &[Filled], rows: usize, mark: Option<usize>) -> Table<'static> {
    let header = Row::new(sheet.iter().map(|column| column.cell(column.title)));
    let rows = (0..rows).map(|index| {
        let row = Row::new(sheet.iter().map(|column| column.cell(&column.texts[index])));
        match mark == Some(index) {
            true => row.style(Modifier::REVERSED),
            false => row,
        }
    });
    let last = sheet.len().saturating_sub(1);
    let widths = sheet.iter().enumerate().map(|(index, column)| {
        // The last one takes what is left and is cut there.
        match index == last && column.alignment == Alignment::Left {
            true => Constraint::Fill(1),
            false => Constraint::Length(column.width),
        }
    });
    Table::new(rows, widths)
        .header(header.style(Style::new().add_modifier(Modifier::DIM)))
        .column_spacing(GAP)
}

#[cfg(test)]
mod tests {
    use super::window;

    #[test]
    fn the_marked_row_is_seen() {
        assert_eq!(window(0, 5, 0), 0..0);
        assert_eq!(window(3, 5, 2), 0..3);
        assert_eq!(window(9, 5, 4), 0..5);
        assert_eq!(window(9, 5, 5), 1..6);
        assert_eq!(window(9, 5, 8), 4..9);
        assert_eq!(window(9, 0, 8), 9..9);
    }
}
