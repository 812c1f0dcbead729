//! Real clients and a server with quirks: what works without ftpfw works with it, and a stranger is
//! refused meanwhile. Each test is a file of `tests/quirks`; [`ftpfw_tests::quirky`] has the server.

mod visit;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::matrix::Cell;
use ftpfw_tests::quirky::{Guard, Quirky, Script, Visitor};
use ftpfw_tests::scene::fill;
use ftpfw_tests::service;
use ftpfw_tests::transcript::Transcript;

use visit::{Visit, visit};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quirks");
const ORDINARY: &str = "ordinary";

/// A test for each file, and the list of them.
macro_rules! quirks {
    ($($test:ident = $file:literal,)*) => {
        $(
            #[test]
            fn $test() -> Result<()> {
                quirk($file)
            }
        )*

        const QUIRKS: &[&str] = &[$($file,)*];
    };
}

quirks! {
    active_refused = "active-refused",
    cr_ends_lines = "cr-ends-lines",
    dials_before_200 = "dials-before-200",
    echo = "echo",
    epsv_answered_by_227 = "epsv-answered-by-227",
    epsv_refused = "epsv-refused",
    foreign_address = "foreign-address",
    listener_closes_before_the_client = "listener-closes-before-the-client",
    listener_closes_behind_the_client = "listener-closes-behind-the-client",
    low_port = "low-port",
    many_lines = "many-lines",
    numbers_too_big = "numbers-too-big",
    one_byte_a_segment = "one-byte-a-segment",
    ordinary = "ordinary",
    passive_refused = "passive-refused",
    pasv_answered_by_229 = "pasv-answered-by-229",
    port_of_another_program = "port-of-another-program",
    replies_in_a_reply = "replies-in-a-reply",
    replies_together = "replies-together",
    slow = "slow",
    third_line_of_a_reply = "third-line-of-a-reply",
    third_line = "third-line",
    tls_broken = "tls-broken",
    tls_refused = "tls-refused",
    two_ports = "two-ports",
    zero_address = "zero-address",
}

#[test]
fn every_file_has_its_test() -> Result<()> {
    let files = Transcript::read_all(Path::new(DIRECTORY))?;
    let names: Vec<_> = files.iter().map(|it| it.name.as_str()).collect();
    ensure!(names == QUIRKS, "{names:?}");
    Ok(())
}

/// All visitors, first without ftpfw, then with it, on the same hosts.
fn quirk(name: &str) -> Result<()> {
    let lab = Lab::new()?;
    let read = |name: &str, family| {
        let path = Path::new(DIRECTORY).join(name).with_extension("txt");
        Transcript::read_filled(&path, |line| fill(&lab, family, line))
    };
    let start = |family| -> Result<_> {
        let script = Script::new(&read(name, family)?, &read(ORDINARY, family)?);
        Quirky::start(&lab.server, family, script)
    };
    let servers = [start(Family::V4)?, start(Family::V6)?];
    let quirk = read(name, Family::V4)?;
    if let Some(port) = quirk.service {
        service::start(&lab, port)?;
    }

    let visits = visits(&quirk, name);
    let alone = visits
        .iter()
        .map(|it| visit(&lab, server(&servers, it), it, None))
        .collect::<Result<Vec<_>>>()?;
    for (visit, outcome) in visits.iter().zip(&alone) {
        let fails = quirk.fails.iter().any(|it| visit.is_named(it));
        ensure!(
            outcome.works != fails,
            "without ftpfw, {visit}: {outcome:#?}"
        );
    }

    let firewall = Firewall::start(&lab.server, &[])?;
    let guard = Guard::new(&lab, &firewall, quirk.service);
    for (it, alone) in visits.iter().zip(&alone) {
        let behind =
            visit(&lab, server(&servers, it), it, Some(&guard)).with_context(|| it.to_string())?;
        println!("{name}: {it}: {alone}, with ftpfw {behind}");
        ensure!(
            match quirk.drops {
                true => !behind.works,
                false => (behind.works, &behind.modes) == (alone.works, &alone.modes),
            },
            "{it}: {behind:#?}\nwithout ftpfw {alone:#?}"
        );
    }
    guard.at_the_end()?;
    let missed = guard.missed()?;
    ensure!(
        (missed > 0) == quirk.drops,
        "{missed} SYNs of the clients' were dropped"
    );
    Ok(())
}

fn server<'a, 'l>(servers: &'a [Quirky<'l>; 2], visit: &Visit) -> &'a Quirky<'l> {
    &servers[usize::from(visit.cell.family == Family::V6)]
}

/// Who comes in which mode. A quirk of a negotiation is for that one, over both families; any other is for
/// every mode, over one of them.
fn visits(quirk: &Transcript, name: &str) -> Vec<Visit> {
    let has = |mode: Mode| {
        let verb = mode.verb().as_bytes();
        quirk.steps.iter().any(|step| step.bytes.starts_with(verb))
    };
    let of_all = name == ORDINARY || !Mode::ALL.into_iter().any(has);
    let wanted = |cell: &Cell| match cell.mode {
        _ if name == ORDINARY => true,
        Mode::Pasv | Mode::Port if of_all => true,
        Mode::Epsv | Mode::Eprt if of_all => cell.family == Family::V6,
        mode => has(mode),
    };
    let visitors = match quirk.visitors.is_empty() {
        true => Visitor::all(),
        false => quirk.visitors.clone(),
    };
    let cells = |by: Visitor| {
        let families = [Family::V4, Family::V6].into_iter();
        let cells = families.flat_map(move |family| Cell::all(by.tool, family));
        cells.filter(wanted).map(move |cell| Visit {
            by: by.clone(),
            cell,
        })
    };
    visitors.into_iter().flat_map(cells).collect()
}
