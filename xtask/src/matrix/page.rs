//! `docs/matrix.md`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::matrix::choice::DAEMONS;
use ftpfw_tests::matrix::run::{Row, Verdict};
use ftpfw_tests::matrix::side::Side;
use ftpfw_tests::server::Daemon;
use ftpfw_tests::tls::Tls;

use super::Found;
use super::table::{last_line, name, summary};
use crate::workspace;

const PAGE: &str = "docs/matrix.md";

const HEAD: &str = "\
# Real servers and real clients

What works under ftpfw, in each of its modes and with each opener, of what works without a firewall; beside it,
the same under nftables with the kernel's FTP helper (`nf_conntrack_ftp` on port 21; input policy drop; 21, 990
and what is established or related accepted). Written by `cargo xtask matrix --page`.

A cell is one action of one client by one kind of negotiation over one protocol: a listing, a download, an
upload, a download that is resumed (`REST`), one in three segments side by side, and one that is aborted
(`ABOR`) with another after it. Every byte is compared, a client that falls back to another kind of negotiation
has failed, and at every data connection's first SYN a stranger dials the same port: an answer is a failure.
With the opener `inline`, so is a SYN of the client's that is dropped. `no firewall` says how many of the cells
that could exist work at all; the other columns, how many of those.

";

/// Writes the page.
///
/// # Errors
/// When the file cannot be written.
pub fn write(found: &Found) -> Result<()> {
    let path = workspace::root().join(PAGE);
    fs::write(&path, page(found)).with_context(|| format!("write {}", path.display()))
}

/// What the page says.
pub fn page(found: &Found) -> String {
    let mut page = HEAD.to_owned() + &summary(found) + ".\n\n" + &failures(found);
    for daemon in DAEMONS {
        page += &section(found, daemon);
    }
    page + &without_a_firewall(found)
}

fn failures(found: &Found) -> String {
    let mut text = String::new();
    for (row, side, said) in found.failures() {
        let (field, side) = (name(row.field), side.name());
        text += &format!(
            "* **Fails under ftpfw**: {field} ({side}): `{}`\n",
            last_line(said)
        );
    }
    if text.is_empty() {
        text += "Nothing that works without a firewall fails under ftpfw.\n";
    }
    let unsteady: Vec<_> = found.unsteady().collect();
    if !unsteady.is_empty() {
        text += "\nFailed once, and worked when they were tried again:\n\n";
    }
    for (row, side, said) in unsteady {
        let (field, side) = (name(row.field), side.name());
        text += &format!("* {field} ({side}): `{}`\n", last_line(said));
    }
    text
}

fn section(found: &Found, daemon: Daemon) -> String {
    let mut section = format!("\n## {}\n\n| client | TLS | | no firewall |", daemon.name());
    for side in &found.sides {
        section += &format!(" {} |", side.name());
    }
    section += &format!("\n|---|---|---|---|{}\n", "---|".repeat(found.sides.len()));
    let mut is_empty = true;
    for tool in Tool::ALL {
        for tls in Tls::ALL {
            for mode in Mode::ALL {
                if let Some(row) = row(found, (daemon, tool, tls, mode)) {
                    section += &row;
                    is_empty = false;
                }
            }
        }
    }
    if is_empty { String::new() } else { section }
}

/// `None` where nothing works without a firewall.
fn row(found: &Found, key: (Daemon, Tool, Tls, Mode)) -> Option<String> {
    let is_in = |row: &Row| {
        let cell = row.field.cell;
        (row.field.daemon, cell.tool, cell.security.tls, cell.mode) == key
    };
    let (_, possible) = found.score(Side::Nobody, is_in);
    if possible == 0 {
        return None;
    }
    let all = found.rows.iter().filter(|row| is_in(row)).count();
    let (_, tool, tls, mode) = key;
    let mut line = format!(
        "| {} | {} | {} | {possible} of {all} |",
        tool.name(),
        tls.name(),
        mode.verb()
    );
    for side in &found.sides {
        let (works, of) = found.score(*side, is_in);
        line += &match works == of {
            true => " all |".to_owned(),
            false => format!(" **{works}** |"),
        };
    }
    Some(line + "\n")
}

/// What is no fault of any firewall, most frequent first.
fn without_a_firewall(found: &Found) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for row in &found.rows {
        let why = match row.under(Side::Nobody) {
            Some(Verdict::LeftOut(why)) => (*why).to_owned(),
            Some(Verdict::Fails(said)) => {
                let (daemon, cell) = (row.field.daemon.name(), row.field.cell);
                let (tool, deed) = (cell.tool.name(), row.field.deed.name());
                format!("tried: {daemon}, {tool}, {deed}: `{}`", last_line(said))
            }
            _ => continue,
        };
        *reasons.entry(why).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text =
        "\n## What does not work without a firewall\n\n| cells | why |\n|---|---|\n".to_owned();
    for (why, count) in reasons {
        text += &format!("| {count} | {} |\n", why.replace('|', "\\|"));
    }
    text
}
