//! State → frame.

mod columns;
mod lines;
mod panes;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    widgets::{Clear, Paragraph},
};

use super::state::{Mode, Pane, State};

/// Less than this shows nothing that is of use.
const SMALLEST: (u16, u16) = (60, 16);
/// From this width on there are two columns of panes.
const WIDE: u16 = 160;
/// Interfaces that have a line.
const INTERFACES: usize = 3;

/// Draws all of it.
pub(super) fn draw(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!("ftpfw top needs {width}×{height} characters");
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let interfaces = state.look.stats.interfaces.len().clamp(1, INTERFACES);
    let [title, nics, middle, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(interfaces).unwrap_or(u16::MAX)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(lines::title(state), title);
    frame.render_widget(lines::interfaces(state, interfaces), nics);
    let sessions = state.by_number();
    for (pane, area) in Pane::ALL.into_iter().zip(places(state, middle)) {
        panes::draw(state, &sessions, pane, area, frame);
    }
    frame.render_widget(lines::foot(state), foot);
    if state.mode == Mode::Help {
        let area = middle.centered(Constraint::Length(64), Constraint::Length(lines::HELP));
        frame.render_widget(Clear, area);
        frame.render_widget(lines::help(), area);
    }
}

/// Where the panes are. The one that keys go to has twice the lines of another.
fn places(state: &State, area: Rect) -> [Rect; Pane::ALL.len()] {
    let share = |pane: Pane| match pane == state.pane {
        true => Constraint::Fill(2),
        false => Constraint::Fill(1),
    };
    if area.width < WIDE {
        return Layout::vertical(Pane::ALL.map(share)).areas(area);
    }
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2);
    let [left, right] = halves.areas(area);
    let [sessions, transfers, tuples, drops] = Pane::ALL.map(share);
    let [sessions, transfers] = Layout::vertical([sessions, transfers]).areas(left);
    let [tuples, drops] = Layout::vertical([tuples, drops]).areas(right);
    [sessions, transfers, tuples, drops]
}
