//! A report for people.

use std::{fmt::Write as _, net::SocketAddr};

use comfy_table::{CellAlignment, Table, presets};

use super::model::{ConnectionRow, Report, SessionRow};
use crate::query::units::count;

/// Rows of a list that are shown; `--json` has all.
const ROWS: usize = 200;
/// Characters of a line that are shown.
const LONGEST: usize = 72;

/// The whole report.
#[must_use]
pub fn report(report: &Report) -> String {
    let mut text = head(report);
    for session in &report.sessions {
        text += "\n\n";
        text += &self::session(session);
    }
    if !report.connections.is_empty() {
        text += "\n\n";
        text += &connections(&report.connections);
    }
    text += "\n\n";
    text += &totals(report);
    text
}

fn head(report: &Report) -> String {
    let servers: Vec<_> = report.servers.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{}: {} in {} s; server {}",
        report.file,
        plural(report.packets, "packet"),
        seconds(report.duration_us),
        servers.join(", ")
    );
    if report.cut_short > 0 {
        let _infallible = write!(
            text,
            "\n{} cut short by the capture: bytes of control connections may be missing \
             (tcpdump: -s 0)",
            plural(report.cut_short, "packet")
        );
    }
    if report.sessions.is_empty() {
        text += "\nno control connection";
    }
    text
}

/// A session: what was said and what came of it, in the order of time.
fn session(row: &SessionRow) -> String {
    let mut text = format!(
        "session {}: {} to {}",
        row.id,
        SocketAddr::new(row.client, row.client_port),
        SocketAddr::new(row.server, row.server_port)
    );
    if let Some(user) = &row.user {
        text += ", user ";
        text += user;
    }
    for (is_so, what) in [(row.adopted, "met in the middle"), (row.tls, "encrypted")] {
        if is_so {
            text += ", ";
            text += what;
        }
    }
    text += ", ";
    text += &plural(row.transfers, "transfer");
    for (number, what) in [
        (row.gaps, "gap"),
        (row.retransmitted, "retransmission"),
        (row.out_of_order, "segment out of order"),
    ] {
        if number > 0 {
            text += ", ";
            text += &plural(number, what).replace("segment out of orders", "segments out of order");
        }
    }
    let happened = happened(row);
    let mut lines = table();
    for it in happened.iter().take(ROWS) {
        lines.add_row([
            format!("  {}", seconds(it.at)),
            shown(it.line),
            it.what.clone(),
        ]);
    }
    if !happened.is_empty() {
        text += "\n";
        text += &aligned(lines, &[0]);
    }
    more(&mut text, happened.len());
    text
}

/// A line of the control connection, and what came of it.
struct Happened<'a> {
    at: u64,
    line: &'a str,
    what: String,
}

/// The commands, and the replies that something came of.
fn happened(row: &SessionRow) -> Vec<Happened<'_>> {
    let mut rows: Vec<_> = row
        .commands
        .iter()
        .map(|it| Happened {
            at: it.at_us,
            line: &it.line,
            what: String::new(),
        })
        .collect();
    let negotiations = row.negotiations.iter().map(|it| {
        let outcome = match it.ended_at_us {
            Some(at) => format!("{} after {}", it.outcome, duration(at - it.at_us)),
            None => "never used".to_owned(),
        };
        let what = format!("armed {} {}, {outcome}", it.mode, it.port);
        (it.at_us, &it.line, what)
    });
    let refusals = row.refusals.iter();
    let refusals = refusals.map(|it| (it.at_us, &it.line, format!("refused: {}", it.reason)));
    for (at, line, what) in negotiations.chain(refusals) {
        let is_it =
            |row: &&mut Happened<'_>| (row.at, row.line) == (at, line) && row.what.is_empty();
        match rows.iter_mut().find(is_it) {
            Some(command) => command.what = what,
            None => rows.push(Happened { at, line, what }),
        }
    }
    // Stable: a command goes before the reply to it.
    rows.sort_by_key(|row| row.at);
    rows
}

/// As much of a line as there is room for.
fn shown(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

fn connections(rows: &[ConnectionRow]) -> String {
    let mut table = table();
    table.set_header([
        "AT", "CLIENT", "SERVER", "MODE", "SESSION", "VERDICT", "WHY", "PASSED", "DROPPED",
    ]);
    for row in rows.iter().take(ROWS) {
        table.add_row([
            seconds(row.at_us),
            SocketAddr::new(row.client, row.client_port).to_string(),
            SocketAddr::new(row.server, row.server_port).to_string(),
            row.mode.unwrap_or("-").to_owned(),
            row.session
                .map_or_else(|| "-".to_owned(), |id| id.to_string()),
            row.verdict.to_owned(),
            why(row),
            count(row.passed),
            count(row.dropped),
        ]);
    }
    let mut text = aligned(table, &[0, 4, 7, 8]);
    more(&mut text, rows.len());
    text
}

/// The reason, and what it comes from where the word alone would leave a reader wondering.
fn why(row: &ConnectionRow) -> String {
    let because = if row.passes() || row.mode != Some("passive") {
        ""
    } else if row.tls {
        " (the session is encrypted)"
    } else if row.session.is_none() {
        " (the client has no session)"
    } else {
        ""
    };
    format!("{}{because}", row.reason)
}

fn totals(report: &Report) -> String {
    let mut table = table();
    table.set_header(["", "REASON", "COUNT"]);
    for (group, counts) in [
        ("passed", &report.pass),
        ("dropped", &report.drop),
        ("armed", &report.negotiations),
        ("refused", &report.refused),
    ] {
        let mut group = group;
        for (name, number) in counts.iter().filter(|(_, number)| **number != 0) {
            table.add_row([group.to_owned(), (*name).to_owned(), count(*number)]);
            group = "";
        }
    }
    if report.unjudged != 0 {
        let (group, name) = ("not judged", "between other hosts");
        table.add_row([group.to_owned(), name.to_owned(), count(report.unjudged)]);
    }
    aligned(table, &[2])
}

fn more(text: &mut String, rows: usize) {
    if rows > ROWS {
        let rest = count((rows - ROWS) as u64);
        let _infallible = write!(text, "\n… and {rest} more: --json has all");
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// The table as text; columns in `numbers` are set flush right.
fn aligned(mut table: Table, numbers: &[usize]) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn plural(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

/// µs as seconds, to the µs: what a data connection is about happens within 100 of them.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// A duration of which only the order matters.
fn duration(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{}.{} ms", us / 1000, us / 100 % 10),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}
