//! `ftpfw list`: rows come from a map one by one and go out the same way; only a sort needs them all.

use std::io::{self, Write};

use anyhow::Result;
use serde::ser::{SerializeSeq as _, Serializer as _};

use super::{
    client,
    model::{FlowRow, ListenerRow, PortRow, RunningRow, SessionRow, TupleRow},
    open,
    output::{self, Output},
    ports, read,
    row::Row,
    table::RowTable,
    transfers,
};
use crate::{
    cli::{ListArgs, Listing},
    config::UsageError,
    kernel::Maps,
};

/// Rows that are laid out together. Columns of later pages are as wide at least as those before.
const PAGE: usize = 1000;

/// `ftpfw list`.
///
/// # Errors
///
/// When nothing is attached, or may not be looked at; [`UsageError`] for a column that there is not.
pub async fn list(args: &ListArgs) -> Result<()> {
    check(args)?;
    let (maps, _) = open(&args.query.place)?;
    match args.what {
        Listing::Tuples => print(args, read::tuples(&maps)?),
        Listing::Flows => print(args, read::flows(&maps)?),
        Listing::Listeners => print(args, read::listeners(&maps)?),
        Listing::Ports => print(args, ports::rows(&maps.ports()?).map(Ok)),
        Listing::Sessions => sessions(args, &maps).await,
        Listing::Transfers => running(args, &maps).await,
    }
}

/// From the agent, which knows users and commands; without one, what the kernel knows.
async fn sessions(args: &ListArgs, maps: &Maps) -> Result<()> {
    let socket = &args.query.place.socket;
    let told = client::get::<Vec<SessionRow>>(socket, "/sessions").await;
    let told = client::unless_silent(told)?;
    if let Some(rows) = told {
        return print(args, rows.into_iter().map(Ok));
    }
    without_agent(args, "users, commands and amounts");
    print(args, read::sessions(maps)?)
}

async fn running(args: &ListArgs, maps: &Maps) -> Result<()> {
    let (rows, by_agent) = transfers::told(&args.query.place.socket, maps).await?;
    if !by_agent {
        without_agent(args, "users, commands and lengths");
    }
    print(args, rows.into_iter().map(Ok))
}

/// Says what is missing, to people.
fn without_agent(args: &ListArgs, unknown: &str) {
    if !args.query.json {
        // Nobody may be reading; the list is what was asked for.
        let _unread = writeln!(
            io::stderr(),
            "ftpfw: no agent answers on {}: {unknown} are not known",
            args.query.place.socket.display()
        );
    }
}

fn check(args: &ListArgs) -> Result<(), UsageError> {
    let columns = match args.what {
        Listing::Tuples => TupleRow::FIELDS,
        Listing::Sessions => SessionRow::FIELDS,
        Listing::Transfers => RunningRow::FIELDS,
        Listing::Flows => FlowRow::FIELDS,
        Listing::Listeners => ListenerRow::FIELDS,
        Listing::Ports => PortRow::FIELDS,
    };
    if args.what == Listing::Ports && args.client.is_some() {
        let text = "ports have no client: leave --client out, or `list tuples`";
        return Err(UsageError(text.to_owned()));
    }
    match &args.sort {
        Some(column) if !columns.contains(&column.as_str()) => Err(UsageError(format!(
            "there is no column {column:?} to sort by; there are {}",
            columns.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// Prints the rows that are asked for, in the order that is asked for.
fn print<R: Row>(args: &ListArgs, rows: impl Iterator<Item = Result<R>>) -> Result<()> {
    let wanted = rows.filter(|row| match row {
        Ok(row) => row
            .client()
            .is_none_or(|client| read::is_of(client, args.client)),
        Err(_) => true,
    });
    let limit = args.limit.unwrap_or(usize::MAX);
    Output::write(|output| match &args.sort {
        None => write(args, wanted.take(limit), output),
        Some(column) => {
            let mut rows = wanted.collect::<Result<Vec<_>>>()?;
            rows.sort_by_cached_key(|row| row.key(column));
            if args.reverse {
                rows.reverse();
            }
            write(args, rows.into_iter().take(limit).map(Ok), output)
        }
    })
}

fn write<R: Row>(
    args: &ListArgs,
    rows: impl Iterator<Item = Result<R>>,
    output: &mut impl Write,
) -> Result<()> {
    if args.query.json {
        json(rows, output)
    } else {
        table(rows, output, output::colour())
    }
}

/// An array, written as it comes.
fn json<R: Row>(rows: impl Iterator<Item = Result<R>>, output: &mut impl Write) -> Result<()> {
    let mut serializer = serde_json::Serializer::pretty(&mut *output);
    let mut array = serializer.serialize_seq(None)?;
    for row in rows {
        array.serialize_element(&row?)?;
    }
    array.end()?;
    Ok(writeln!(output)?)
}

/// A table, written page by page.
fn table<R: Row>(
    mut rows: impl Iterator<Item = Result<R>>,
    output: &mut impl Write,
    colour: bool,
) -> Result<()> {
    let mut table = RowTable::<R>::new(colour);
    let mut page = Vec::new();
    for row in rows.by_ref() {
        page.push(row?);
        if page.len() == PAGE {
            writeln!(output, "{}", table.page(&page))?;
            page.clear();
        }
    }
    if !page.is_empty() {
        writeln!(output, "{}", table.page(&page))?;
    } else if table.is_empty() {
        writeln!(output, "{}", R::NOTHING)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(first: u16, tcp: &str) -> PortRow {
        PortRow {
            first,
            last: first,
            tcp: tcp.to_owned(),
            udp: "closed".to_owned(),
            control: false,
            implicit_tls: false,
            passive_range: false,
            foreign: false,
            armed: 1,
            listeners: 0,
        }
    }

    fn text(rows: Vec<PortRow>, colour: bool) -> String {
        let mut text = Vec::new();
        table(rows.into_iter().map(Ok), &mut text, colour).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn pages_are_aligned_with_the_first_and_have_one_header() {
        let rows = (1..=2500).map(|number| port(number, "unprotected"));
        let rows = rows.chain([port(2501, "open")]).collect();
        let text = text(rows, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2502);
        assert!(lines[0].starts_with("PORTS"), "{}", lines[0]);
        let column = lines[0].find("UDP").unwrap();
        for line in [lines[1], lines[1500], lines[2501]] {
            assert_eq!(line.find("closed"), Some(column), "{line}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colour_is_for_whom_it_is_asked_for() {
        assert!(text(vec![port(1, "open")], true).contains('\u{1b}'));
        assert!(!text(vec![port(1, "open")], false).contains('\u{1b}'));
    }

    #[test]
    fn nothing_is_said() {
        assert_eq!(text(Vec::new(), false), "every protected port is closed\n");
        let mut array = Vec::new();
        json(std::iter::empty::<Result<PortRow>>(), &mut array).unwrap();
        assert_eq!(array, b"[]\n");
    }

    /// `--sort` offers what `--json` shows.
    #[test]
    fn fields_are_those_of_the_json() {
        let value = serde_json::to_value(port(1, "open")).unwrap();
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        let mut fields = PortRow::FIELDS.to_vec();
        names.sort_unstable();
        fields.sort_unstable();
        assert_eq!(names, fields);
    }
}
