//! What stands in the rows of each pane.

use std::collections::HashMap;

use super::super::{look::Transfer, state::Dropped};
use crate::query::{
    model::{SessionRow, TupleRow},
    units::{bytes, count, duration, rate},
};

/// Sessions by their number.
pub(super) type Sessions<'a> = HashMap<u64, &'a SessionRow>;

/// A column of a pane.
pub(super) struct Column<T> {
    pub(super) title: &'static str,
    /// Whether it is set flush right.
    pub(super) number: bool,
    /// The least width of the pane that has room for it.
    pub(super) from: u16,
    pub(super) text: fn(&T, &Sessions<'_>) -> String,
}

const fn column<T>(title: &'static str, text: fn(&T, &Sessions<'_>) -> String) -> Column<T> {
    Column {
        title,
        number: false,
        from: 0,
        text,
    }
}

const fn number<T>(title: &'static str, text: fn(&T, &Sessions<'_>) -> String) -> Column<T> {
    Column {
        number: true,
        ..column(title, text)
    }
}

const fn from<T>(from: u16, column: Column<T>) -> Column<T> {
    Column { from, ..column }
}

/// The last command is the last column, as it may be long.
pub(super) const SESSIONS: &[Column<SessionRow>] = &[
    number("ID", |row, _| row.id.to_string()),
    column("CLIENT", |row, _| row.client.to_string()),
    from(100, number("PORT", |row, _| row.client_port.to_string())),
    from(110, column("SERVER", |row, _| row.server.to_string())),
    column("USER", |row, _| or_none(row.user.as_ref())),
    column("STATE", |row, _| row.state.clone()),
    number("XFERS", |row, _| count(row.transfers)),
    from(110, number("OUT", |row, _| bytes(row.bytes_out))),
    number("AGE", |row, _| duration(row.age_ms)),
    column("LAST COMMAND", |row, _| or_none(row.last_command.as_ref())),
];

/// The command is the last column, as it may be long.
pub(super) const TRANSFERS: &[Column<Transfer>] = &[
    column("CLIENT", |it, _| it.row.client.to_string()),
    from(130, number("PORT", |it, _| it.row.client_port.to_string())),
    from(130, column("SERVER", |it, _| it.row.server.to_string())),
    from(130, number("PORT", |it, _| it.row.port.to_string())),
    from(110, column("MODE", |it, _| it.row.mode.clone())),
    from(110, number("SESSION", |it, _| or_none(it.row.session))),
    column("USER", |it, _| or_none(it.row.user.as_ref())),
    number("BYTES", |it, _| or_none(it.row.bytes.map(bytes))),
    from(110, number("OF", |it, _| or_none(it.row.length.map(bytes)))),
    number("RATE", |it, _| or_none(it.rate.map(rate))),
    column("PROGRESS", |it, _| or_none(it.row.percent().map(bar))),
    from(100, number("AGE", |it, _| duration(it.row.duration_ms))),
    column("COMMAND", |it, _| it.row.what()),
];

/// `████░░░░  50 %`.
fn bar(percent: u64) -> String {
    const CELLS: usize = 8;
    let full = usize::try_from(percent).map_or(CELLS, |it| it * CELLS / 100);
    let full = full.min(CELLS);
    format!(
        "{}{} {percent:>3} %",
        "█".repeat(full),
        "░".repeat(CELLS - full)
    )
}

pub(super) const TUPLES: &[Column<TupleRow>] = &[
    column("CLIENT", |row, _| row.client.to_string()),
    number("PORT", |row, _| or_any(row.client_port)),
    from(110, column("SERVER", |row, _| row.server.to_string())),
    number("PORT", |row, _| or_any(row.port)),
    column("MODE", |row, _| row.mode.clone()),
    number("SESSION", |row, _| or_none(row.session)),
    column("USER", |row, sessions| {
        or_none(session(row, sessions).and_then(|it| it.user.as_ref()))
    }),
    number("AGE", |row, _| duration(row.age_ms)),
    number("EXPIRES IN", |row, _| {
        or_none(row.expires_in_ms.map(duration))
    }),
];

/// The rates of the past stand beside them.
pub(super) const DROPS: &[Column<Dropped>] = &[
    column("REASON", |row, _| row.reason.to_owned()),
    number("TOTAL", |row, _| count(row.total)),
    number("PER SECOND", |row, _| count(row.rate)),
];

fn session<'a>(row: &TupleRow, sessions: &Sessions<'a>) -> Option<&'a SessionRow> {
    sessions.get(&row.session?).copied()
}

fn or_any<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "*".to_owned(), |value| value.to_string())
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
