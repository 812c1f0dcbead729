//! The table on the terminal.

use ftpfw_tests::client::Tool;
use ftpfw_tests::matrix::choice::{Field, Station};
use ftpfw_tests::matrix::run::{Done, Row};
use ftpfw_tests::server::Daemon;
use ftpfw_tests::tls::Tls;

use super::Found;

/// A line for a server that is done.
pub fn progress(done: &Done) -> String {
    let early = match done.early {
        0 => String::new(),
        early => format!(", {early} SYNs too early"),
    };
    let trouble = done.trouble.as_ref();
    format!(
        "{:>6.1} s  {:<32} {:<16} {:>3} of {:<3} work{early}{}",
        done.time.as_secs_f64(),
        station(done.station),
        done.side.name(),
        done.tried - done.failed,
        done.tried,
        trouble.map_or(String::new(), |trouble| format!("; {trouble}")),
    )
}

fn station(station: Station) -> String {
    format!(
        "{}, TLS {}, {}",
        station.daemon.name(),
        station.tls.name(),
        station.family.name()
    )
}

/// The words that name a field.
pub fn name(field: Field) -> String {
    let cell = field.cell;
    format!(
        "{} {} TLS {} {} {} {}",
        field.daemon.name(),
        cell.tool.name(),
        cell.security.tls.name(),
        cell.mode.verb(),
        cell.family.name(),
        field.deed.name()
    )
}

/// The last thing that a client said, which is nearest to what went wrong.
pub fn last_line(said: &str) -> &str {
    let mut lines = said.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// Server × client × TLS, then what needs a word.
pub fn print(found: &Found) {
    println!("──");
    let mut heading = format!(
        "{:<11} {:<7} {:<9} {:>11}",
        "server", "client", "TLS", "no firewall"
    );
    for side in &found.sides {
        heading += &format!(" {:>15}", side.name());
    }
    println!("{heading}");
    for (daemon, tool, tls) in groups(&found.rows) {
        let is_in = |row: &Row| group(row) == (daemon, tool, tls);
        let tried = found.rows.iter().filter(|row| is_in(row)).count();
        let possible = found
            .rows
            .iter()
            .filter(|row| is_in(row) && row.is_possible());
        let possible = format!("{} of {tried}", possible.count());
        let mut line = format!(
            "{:<11} {:<7} {:<9} {possible:>11}",
            daemon.name(),
            tool.name(),
            tls.name()
        );
        for side in &found.sides {
            let (works, of) = found.score(*side, is_in);
            line += &format!(" {:>15}", format!("{works} of {of}"));
        }
        println!("{line}");
    }
    for (row, side, said) in found.unsteady() {
        println!(
            "at the second attempt: {} ({}): {}",
            name(row.field),
            side.name(),
            last_line(said)
        );
    }
    for (row, side, said) in found.failures() {
        println!("FAILED: {} ({}):\n{said}", name(row.field), side.name());
    }
    let trouble = found
        .done
        .iter()
        .filter_map(|done| Some((done, done.trouble.as_ref()?)));
    for (done, trouble) in trouble {
        println!(
            "TROUBLE: {} ({}): {trouble}",
            station(done.station),
            done.side.name()
        );
    }
    println!("{}", summary(found));
}

/// How much was run, and how long it took.
pub fn summary(found: &Found) -> String {
    let runs: usize = found.done.iter().map(|done| done.tried).sum();
    let possible = found.rows.iter().filter(|row| row.is_possible()).count();
    format!(
        "{possible} of {} cells work without a firewall; with these under each of {} firewalls, {runs} runs of a \
         client in {:.0} s, {} servers side by side",
        found.rows.len(),
        found.sides.len(),
        found.time.as_secs_f64(),
        found.jobs
    )
}

fn group(row: &Row) -> (Daemon, Tool, Tls) {
    let cell = row.field.cell;
    (row.field.daemon, cell.tool, cell.security.tls)
}

/// In the order of the command line, servers first.
fn groups(rows: &[Row]) -> Vec<(Daemon, Tool, Tls)> {
    let mut groups: Vec<_> = rows.iter().map(group).collect();
    groups.sort_by_key(|(daemon, tool, tls)| (*daemon as usize, *tool as usize, *tls as usize));
    groups.dedup();
    groups
}
