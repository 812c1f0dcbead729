//! Aligned tables.

use std::marker::PhantomData;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, Table, Width, presets};

use super::{
    model::{AgentRow, Stats, Status},
    output,
    row::Row,
    units::{count, duration},
};

/// Blanks to the left of all but the first column.
const GAP: u16 = 2;

/// An empty table under `header`.
fn table(header: &[&str], colour: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if !header.is_empty() {
        let bold = |title: &&str| Cell::new(title).add_attribute(Attribute::Bold);
        table.set_header(header.iter().map(bold));
    }
    table
}

/// The table as text; columns named in `numbers` are set flush right.
fn text(mut table: Table, numbers: &[usize]) -> String {
    align(&mut table, numbers);
    table.trim_fmt()
}

fn align(table: &mut Table, numbers: &[usize]) {
    for (index, column) in table.column_iter_mut().enumerate() {
        // None at the end of the line.
        column.set_padding((if index == 0 { 0 } else { GAP }, 0));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A table of rows that is printed in pages, so that its size does not matter.
#[derive(Debug)]
pub struct RowTable<R> {
    colour: bool,
    /// Width of each column so far; none before the first page.
    widths: Vec<u16>,
    rows: PhantomData<R>,
}

impl<R: Row> RowTable<R> {
    /// A table without a page.
    #[must_use]
    pub const fn new(colour: bool) -> Self {
        Self {
            colour,
            widths: Vec::new(),
            rows: PhantomData,
        }
    }

    /// Whether no page was printed yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.widths.is_empty()
    }

    /// The next page; the first has the header.
    #[must_use]
    pub fn page(&mut self, rows: &[R]) -> String {
        let header = if self.is_empty() { R::HEADER } else { &[] };
        let mut table = table(header, self.colour);
        for row in rows {
            table.add_row(row.cells());
        }
        self.widen(&mut table);
        text(table, R::NUMBERS)
    }

    /// No column becomes narrower than on an earlier page.
    fn widen(&mut self, table: &mut Table) {
        let mut widths = table.column_max_content_widths();
        for (width, before) in widths.iter_mut().zip(&self.widths) {
            *width = (*width).max(*before);
        }
        for (index, (column, width)) in table.column_iter_mut().zip(&widths).enumerate() {
            let gap = if index == 0 { 0 } else { GAP };
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + gap)));
        }
        self.widths = widths;
    }
}

/// `stats`. What never happened is left out. `rates`: how often a second each happened of late, in the
/// same groups.
#[must_use]
pub fn stats(stats: &Stats, rates: Option<&Stats>) -> String {
    let header = ["", "REASON", "COUNT", "PER SECOND"];
    let columns = if rates.is_some() { 4 } else { 3 };
    let mut table = table(&header[..columns], output::colour());
    let rates = rates.map(Stats::groups);
    for (index, (group, counters)) in stats.groups().into_iter().enumerate() {
        let mut title = group;
        for (name, number) in counters.iter().filter(|(_, number)| **number != 0) {
            let mut cells = vec![
                Cell::new(title).fg(colour_of(group)),
                Cell::new(name),
                Cell::new(count(*number)),
            ];
            if let Some(rates) = &rates {
                let rate = rates[index].1.get(name).copied().unwrap_or(0);
                cells.push(Cell::new(count(rate)));
            }
            table.add_row(cells);
            title = "";
        }
    }
    if table.row_iter().next().is_none() {
        return "nothing counted yet".to_owned();
    }
    text(table, &[2, 3])
}

fn colour_of(group: &str) -> Color {
    match group {
        "passed" => Color::Green,
        "dropped" => Color::Red,
        "would drop" | "refused" => Color::Yellow,
        _ => Color::Reset,
    }
}

/// `status`.
#[must_use]
pub fn status(status: &Status) -> String {
    let mut table = table(&[], output::colour());
    let mut line = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    match &status.agent {
        None => line("agent", "none runs; the filter works without it".to_owned()),
        Some(agent) => about_agent(agent, &mut line),
    }
    let policy = &status.policy;
    if policy.dry_run {
        line("dry run", "nothing is dropped".to_owned());
    }
    line("opener", policy.opener.to_owned());
    line("ftps", policy.ftps.to_owned());
    let ports: Vec<_> = policy.control_ports.iter().map(u16::to_string).collect();
    line("control ports", ports.join(", "));
    line("tuples live for", duration(policy.tuple_lifetime_ms));
    if status.interfaces.is_empty() {
        line("interface", "none: nothing is filtered".to_owned());
    }
    for interface in &status.interfaces {
        let (passed, dropped) = (count(interface.passed), count(interface.dropped));
        let (name, mode) = (&interface.name, &interface.mode);
        line(
            "interface",
            format!("{name} ({mode}), {passed} passed, {dropped} dropped"),
        );
    }
    line("sessions", count(status.sessions as u64));
    line(
        "tuples",
        format!("{} armed, {} claimed", status.armed, status.claimed),
    );
    line("listeners", count(status.listeners as u64));
    line("flows", count(status.flows as u64));
    let (passed, dropped) = (count(status.passed), count(status.dropped));
    line("packets", format!("{passed} passed, {dropped} dropped"));
    if status.events_lost > 0 {
        line("events lost", count(status.events_lost));
    }
    text(table, &[])
}

fn about_agent(agent: &AgentRow, line: &mut impl FnMut(&str, String)) {
    let (pid, version) = (agent.pid, &agent.version);
    line("agent", format!("pid {pid}, version {version}"));
    line("uptime", duration(agent.uptime_ms));
    if agent.disagreements > 0 {
        line("disagreements", agent.disagreements.to_string());
    }
    if agent.contradictions > 0 {
        line("contradictions", agent.contradictions.to_string());
    }
    if agent.log_left_out > 0 {
        line("not in the log", format!("{} events", agent.log_left_out));
    }
}
