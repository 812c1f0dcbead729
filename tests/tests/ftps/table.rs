//! The matrix under nftables with the kernel's FTP helper and under ftpfw, side by side: docs/ftps.md.
//! `FTPFW_BLESS=1` writes it anew, `FTPFW_FULL=1` checks all of it; by default one row is checked.

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::{Mode, Tool};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::{Cell, run_cell};
use ftpfw_tests::nftables::{self, Otherwise};
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::{Protection, Security, Tls};

use crate::matrix::{KINDS, TOOLS, full};

const HEAD: &str = "\
# FTPS under ftpfw and under nftables

Listing, download and upload, every byte compared. The first word is for nftables with the kernel's
FTP helper (`nf_conntrack_ftp` on port 21; input policy drop; 21, 990 and what is established or
related accepted, all output accepted), the second for `ftpfw --ftps listener`.
`–`: does not work without any firewall, or does not exist.
`data`: data connections in plain text (`C`, PROT C) or encrypted (`P`, PROT P). `CCC`: the control connection
goes back to plain text after the login.

Written by `FTPFW_BLESS=1 cargo test -p ftpfw-tests --features embedded-server --test ftps table`.

";

const COLUMNS: [(Mode, Family); 6] = [
    (Mode::Pasv, Family::V4),
    (Mode::Epsv, Family::V4),
    (Mode::Epsv, Family::V6),
    (Mode::Port, Family::V4),
    (Mode::Eprt, Family::V4),
    (Mode::Eprt, Family::V6),
];

const TITLES: &str = "\
| client | TLS | data | PASV v4 | EPSV v4 | EPSV v6 | PORT v4 | EPRT v4 | EPRT v6 |
|---|---|---|---|---|---|---|---|---|
";

/// Who lets connections in.
#[derive(Clone, Copy)]
enum Filter {
    Nftables,
    Ftpfw,
}

/// Each firewall with a laboratory of its own.
struct Side {
    // Dropped in this order: whoever is watched goes before who watches.
    servers: Vec<(Tls, Family, FtpServer)>,
    // Held for what it does.
    _firewall: Option<Firewall>,
    lab: Lab,
}

impl Side {
    fn new(filter: Filter) -> Result<Self> {
        let lab = Lab::new()?;
        let firewall = match filter {
            Filter::Nftables => {
                let rules = nftables::ftp_helper(Otherwise::Reject, &[]);
                nftables::load(&lab.server.netns, &rules)?;
                None
            }
            Filter::Ftpfw => Some(Firewall::start(&lab.server, &["--ftps", "listener"])?),
        };
        Ok(Self {
            servers: Vec::new(),
            _firewall: firewall,
            lab,
        })
    }

    fn works(&mut self, daemon: Daemon, cell: Cell) -> Result<bool> {
        // Who offers TLS on port 21 serves plain FTP too.
        let tls = match cell.security.tls {
            Tls::Implicit => Tls::Implicit,
            Tls::Off | Tls::Explicit => Tls::Explicit,
        };
        let server = self.server(daemon, tls, cell.family)?;
        let done = run_cell(&self.lab.client, &self.servers[server].2, daemon, cell);
        if let Err(error) = &done {
            println!("{error:?}");
        }
        Ok(done.is_ok())
    }

    /// The place of the server for such cells; it is started for the first of them.
    fn server(&mut self, daemon: Daemon, tls: Tls, family: Family) -> Result<usize> {
        let is_it = |it: &(Tls, Family, FtpServer)| (it.0, it.1) == (tls, family);
        if let Some(place) = self.servers.iter().position(is_it) {
            return Ok(place);
        }
        let options = Options::new(daemon, family).with_tls(tls);
        let server = FtpServer::start(&self.lab.server, &options)?;
        self.servers.push((tls, family, server));
        Ok(self.servers.len() - 1)
    }
}

fn row(sides: &mut [Side; 2], daemon: Daemon, tool: Tool, security: Security) -> Result<String> {
    let mut row = format!("| {} | {} |", tool.name(), kind(security));
    for (mode, family) in COLUMNS {
        let cell = Cell {
            tool,
            mode,
            family,
            security,
        };
        let exists = Cell::all(tool, family).any(|it| it.over(security) == cell);
        if !exists || cell.left_out(daemon).is_some() {
            row += " – |";
            continue;
        }
        let words = sides.iter_mut().map(|side| {
            let works = side.works(daemon, cell)?;
            Ok(if works { "works" } else { "fails" })
        });
        let words: Vec<&str> = words.collect::<Result<_>>()?;
        row += &format!(" {} |", words.join(" / "));
    }
    Ok(row + "\n")
}

fn kind(security: Security) -> String {
    let tls = security.tls.name();
    let ccc = if security.ccc { ", CCC" } else { "" };
    let data = match security.protection {
        Protection::Private => "P",
        Protection::Clear => "C",
    };
    format!("{tls}{ccc} | {data}")
}

/// nftables first, as in the table.
fn sides() -> Result<[Side; 2]> {
    Ok([Side::new(Filter::Nftables)?, Side::new(Filter::Ftpfw)?])
}

fn section(daemon: Daemon) -> Result<String> {
    let mut sides = sides()?;
    let mut section = format!("\n## {}\n\n{TITLES}", daemon.name());
    for tool in TOOLS {
        // Plain FTP first: what the helper is for.
        for security in [Security::NONE].into_iter().chain(KINDS) {
            let row = row(&mut sides, daemon, tool, security)?;
            if row.contains("works") || row.contains("fails") {
                section += &row;
            }
        }
    }
    Ok(section)
}

/// How many of the cells of passive transfers over a control connection that stays encrypted work under
/// each firewall.
fn summary(tables: &str) -> String {
    let is_encrypted = |row: &&str| {
        let kinds = ["| explicit |", "| implicit |"];
        kinds.iter().any(|kind| row.contains(kind))
    };
    let passive: Vec<&str> = tables
        .lines()
        .filter(is_encrypted)
        .flat_map(|row| row.split('|').skip(4).take(3))
        .map(str::trim)
        .filter(|cell| cell.contains('/'))
        .collect();
    let all = passive.len();
    let nftables = passive.iter().filter(|it| it.starts_with("works")).count();
    let ftpfw = passive.iter().filter(|it| it.ends_with("works")).count();
    format!(
        "Passive transfers of sessions that stay encrypted: {nftables} of {all} cells work under nftables, \
         {ftpfw} of {all} under ftpfw.\n"
    )
}

fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ftps.md")
}

#[test]
fn the_page_is_what_is_found() -> Result<()> {
    let bless = env::var_os("FTPFW_BLESS").is_some();
    let path = page_path();
    if !bless && !full() {
        let committed = fs::read_to_string(&path).context("docs/ftps.md")?;
        let row = row(
            &mut sides()?,
            Daemon::Vsftpd,
            Tool::Ftplib,
            Security::EXPLICIT,
        )?;
        ensure!(committed.contains(&row), "{row} is not in docs/ftps.md");
        return Ok(());
    }
    let sections = thread::scope(|scope| {
        let sections = Daemon::WITH_TLS.map(|daemon| scope.spawn(move || section(daemon)));
        sections
            .into_iter()
            .map(|section| match section.join() {
                Ok(section) => section,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect::<Result<Vec<String>>>()
    })?;
    let tables = sections.concat();
    let page = HEAD.to_owned() + &summary(&tables) + &tables;
    if bless {
        return fs::write(&path, page).with_context(|| format!("write {}", path.display()));
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let lines = || committed.lines().zip(page.lines());
    let first = lines().find(|(committed, now)| committed != now);
    ensure!(
        committed == page,
        "docs/ftps.md is not what was found (FTPFW_BLESS=1 writes it): {first:#?}"
    );
    Ok(())
}
