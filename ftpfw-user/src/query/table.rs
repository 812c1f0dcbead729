//! Rows as aligned tables.

use comfy_table::{CellAlignment, Table, presets};

use super::{
    model::{ListenerRow, SessionRow, Stats, Status, TupleRow},
    units::{bytes, count, duration},
};

/// An empty table under `header`.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header);
    }
    table
}

/// The table as text; columns named in `numbers` are set flush right.
fn text(mut table: Table, numbers: &[usize]) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        // One blank to the left of all but the first column, and none at the end of the line.
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn or_any<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "*".to_owned(), |value| value.to_string())
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `list tuples`. A port that may be any is `*`.
#[must_use]
pub fn tuples(rows: &[TupleRow]) -> String {
    if rows.is_empty() {
        return "no tuples".to_owned();
    }
    let header = [
        "CLIENT",
        "PORT",
        "SERVER",
        "PORT",
        "MODE",
        "STATE",
        "SESSION",
        "AGE",
        "EXPIRES IN",
    ];
    let mut table = table(&header);
    for row in rows {
        table.add_row([
            row.client.to_string(),
            or_any(row.client_port),
            row.server.to_string(),
            or_any(row.port),
            row.mode.clone(),
            row.state.clone(),
            or_none(row.session),
            duration(row.age_ms),
            or_none(row.expires_in_ms.map(duration)),
        ]);
    }
    text(table, &[1, 3, 6, 7, 8])
}

/// `list sessions`.
#[must_use]
pub fn sessions(rows: &[SessionRow]) -> String {
    if rows.is_empty() {
        return "no sessions".to_owned();
    }
    let header = [
        "ID",
        "CLIENT",
        "SERVER",
        "USER",
        "STATE",
        "TRANSFERS",
        "IN",
        "OUT",
        "AGE",
        "LAST COMMAND",
    ];
    let mut table = table(&header);
    for row in rows {
        let adopted = if row.adopted { " (adopted)" } else { "" };
        table.add_row([
            row.id.to_string(),
            std::net::SocketAddr::new(row.client, row.client_port).to_string(),
            std::net::SocketAddr::new(row.server, row.server_port).to_string(),
            or_none(row.user.clone()),
            format!("{}{adopted}", row.state),
            count(row.transfers),
            bytes(row.bytes_in),
            bytes(row.bytes_out),
            duration(row.age_ms),
            or_none(row.last_command.clone()),
        ]);
    }
    text(table, &[0, 5, 6, 7, 8])
}

/// `list listeners`. An address or a client that may be any is `*`.
#[must_use]
pub fn listeners(rows: &[ListenerRow]) -> String {
    if rows.is_empty() {
        return "no listeners".to_owned();
    }
    let header = ["SERVER", "PORT", "DAEMON", "CLIENT", "SESSION", "AGE"];
    let mut table = table(&header);
    for row in rows {
        table.add_row([
            or_any(row.server),
            row.port.to_string(),
            format!("port {}", row.daemon),
            or_any(row.client),
            or_none(row.session),
            duration(row.age_ms),
        ]);
    }
    text(table, &[1, 4, 5])
}

/// `stats`. What never happened is left out.
#[must_use]
pub fn stats(stats: &Stats) -> String {
    let mut table = table(&["", "REASON", "COUNT"]);
    let groups = [
        ("passed", &stats.pass),
        ("dropped", &stats.drop),
        ("would drop", &stats.would_drop),
        ("armed", &stats.negotiations),
        ("refused", &stats.refused),
        ("follower", &stats.losses),
    ];
    for (group, counters) in groups {
        let mut first = true;
        for (name, number) in counters.iter().filter(|(_, number)| **number != 0) {
            let group = if first { group } else { "" };
            table.add_row([group.to_owned(), (*name).to_owned(), count(*number)]);
            first = false;
        }
    }
    if table.row_iter().next().is_none() {
        return "nothing counted yet".to_owned();
    }
    text(table, &[2])
}

/// `status`.
#[must_use]
pub fn status(status: &Status) -> String {
    let mut table = table(&[]);
    let mut line = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    match &status.agent {
        None => line("agent", "none runs; the filter works without it".to_owned()),
        Some(agent) => {
            line(
                "agent",
                format!("pid {}, version {}", agent.pid, agent.version),
            );
            line("uptime", duration(agent.uptime_ms));
            line("opener", agent.opener.clone());
            if agent.dry_run {
                line("dry run", "nothing is dropped".to_owned());
            }
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
    }
    for interface in &status.interfaces {
        line(
            "interface",
            format!(
                "{} ({}), {} passed, {} dropped",
                interface.name,
                interface.mode,
                count(interface.passed),
                count(interface.dropped)
            ),
        );
    }
    line("sessions", count(status.sessions as u64));
    line(
        "tuples",
        format!("{} armed, {} claimed", status.armed, status.claimed),
    );
    line(
        "packets",
        format!(
            "{} passed, {} dropped",
            count(status.passed),
            count(status.dropped)
        ),
    );
    text(table, &[])
}
