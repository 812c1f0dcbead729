//! What stands in the rows of each pane.

use std::collections::HashMap;

use super::super::state::Dropped;
use crate::query::{
    model::{SessionRow, TupleRow},
    units::{bytes, count, duration},
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

/// What transfers and tuples both have.
mod tuple {
    use super::{Column, TupleRow, column, duration, from, number, or_any, or_none, user};

    type OfTuple = Column<TupleRow>;

    pub(super) const CLIENT: OfTuple = column("CLIENT", |row, _| row.client.to_string());
    pub(super) const CLIENT_PORT: OfTuple = number("PORT", |row, _| or_any(row.client_port));
    pub(super) const SERVER: OfTuple = from(110, column("SERVER", |row, _| row.server.to_string()));
    pub(super) const SERVER_PORT: OfTuple = number("PORT", |row, _| or_any(row.port));
    pub(super) const MODE: OfTuple = column("MODE", |row, _| row.mode.clone());
    pub(super) const SESSION: OfTuple = number("SESSION", |row, _| or_none(row.session));
    pub(super) const USER: OfTuple = column("USER", user);
    pub(super) const AGE: OfTuple = number("AGE", |row, _| duration(row.age_ms));
}

pub(super) const TRANSFERS: &[Column<TupleRow>] = &[
    tuple::CLIENT,
    tuple::CLIENT_PORT,
    tuple::SERVER,
    tuple::SERVER_PORT,
    tuple::MODE,
    tuple::SESSION,
    tuple::USER,
    tuple::AGE,
    column("LAST COMMAND", |row, sessions| {
        or_none(session(row, sessions).and_then(|it| it.last_command.as_ref()))
    }),
];

pub(super) const TUPLES: &[Column<TupleRow>] = &[
    tuple::CLIENT,
    tuple::CLIENT_PORT,
    tuple::SERVER,
    tuple::SERVER_PORT,
    tuple::MODE,
    tuple::SESSION,
    tuple::USER,
    tuple::AGE,
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

fn user(row: &TupleRow, sessions: &Sessions<'_>) -> String {
    or_none(session(row, sessions).and_then(|it| it.user.as_ref()))
}

fn or_any<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "*".to_owned(), |value| value.to_string())
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
