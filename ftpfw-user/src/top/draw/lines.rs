//! What stands around the panes.

use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph},
};

use super::super::state::{Mode, State};
use crate::query::{
    model::InterfaceRow,
    units::{count, duration},
};

/// Height of [`help`], its border included.
pub(super) const HELP: u16 = 13;

/// Colour, for who wants it.
pub(super) fn coloured(state: &State, colour: Color) -> Style {
    match state.colour {
        true => Style::new().fg(colour),
        false => Style::new(),
    }
}

/// Who runs, how, and what is not known.
pub(super) fn title(state: &State) -> Line<'static> {
    let look = &state.look;
    let mut spans = vec![
        Span::styled("ftpfw top", Modifier::BOLD),
        Span::raw(format!("  {}  ", look.clock)),
    ];
    if look.policy.dry_run {
        let style = coloured(state, Color::Yellow).add_modifier(Modifier::BOLD);
        spans.push(Span::styled("dry run: nothing is dropped  ", style));
    }
    match &look.agent {
        Ok(agent) => spans.push(Span::raw(format!(
            "agent {} for {}  opener {}  ftps {}",
            agent.pid,
            duration(agent.uptime_ms),
            look.policy.opener,
            look.policy.ftps,
        ))),
        Err(missing) => {
            spans.push(Span::styled(
                missing.clone(),
                coloured(state, Color::Yellow),
            ));
        }
    }
    Line::from(spans)
}

/// A line for each interface; the last one says if there are more.
pub(super) fn interfaces(state: &State, lines: usize) -> Paragraph<'static> {
    let rows = &state.look.stats.interfaces;
    if rows.is_empty() {
        return Paragraph::new("no interface has a filter");
    }
    let rates = state.rates.as_ref().map(|rates| &rates.interfaces);
    let mut text: Vec<_> = rows
        .iter()
        .take(lines)
        .map(|row| {
            let rate = rates.and_then(|rates| rates.iter().find(|it| it.name == row.name));
            interface(row, rate)
        })
        .collect();
    if let Some(last) = text.last_mut()
        && rows.len() > lines
    {
        *last += &format!("  and {} more: ftpfw status", rows.len() - lines);
    }
    let lines = text.into_iter().map(Line::from);
    Paragraph::new(lines.collect::<Vec<_>>())
}

fn interface(row: &InterfaceRow, rate: Option<&InterfaceRow>) -> String {
    let of = |total: u64, rate: Option<u64>| match rate {
        Some(rate) => format!("{} ({}/s)", count(total), count(rate)),
        None => count(total),
    };
    format!(
        "{} {}  passed {}  dropped {}",
        row.name,
        row.mode,
        of(row.passed, rate.map(|rate| rate.passed)),
        of(row.dropped, rate.map(|rate| rate.dropped)),
    )
}

/// What the keys do now.
pub(super) fn foot(state: &State) -> Line<'static> {
    if state.mode == Mode::Filtering {
        return Line::from(vec![
            Span::styled("client has: ", Modifier::BOLD),
            Span::raw(state.filter.clone()),
            Span::styled(" ", Modifier::REVERSED),
            Span::raw("  Enter keep  Esc all clients"),
        ]);
    }
    let mut spans = Vec::new();
    for (key, does) in [
        ("q", "quit"),
        ("Tab", "pane"),
        ("↑↓", "move"),
        ("s", "sort"),
        ("r", "reverse"),
        ("/", "client"),
        ("?", "help"),
    ] {
        spans.push(Span::styled(key, Modifier::BOLD));
        spans.push(Span::raw(format!(" {does}  ")));
    }
    if !state.filter.is_empty() {
        let style = coloured(state, Color::Yellow);
        let text = format!("only clients with {} (Esc: all)", state.filter);
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// All keys, and what the panes are.
pub(super) fn help() -> Paragraph<'static> {
    let lines = [
        "q, Ctrl-C           quit",
        "Tab, ←, →           the pane that keys go to; it is larger",
        "↑, ↓, PgUp, PgDn    move in it; Home and End, too",
        "s, r                sort by something else; turn it round",
        "/                   only some clients, by address; Esc: all",
        "Ctrl-Z              suspend; fg goes on",
        "",
        "Sessions are control connections, transfers established data",
        "connections, tuples those that are allowed and not made yet.",
        "Drops are packets a second by reason, the latest at the right.",
        "Any key closes this.",
    ];
    let block = Block::bordered().title(" Keys ");
    Paragraph::new(lines.map(Line::from).to_vec()).block(block)
}
