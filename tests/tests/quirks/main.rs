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
use ftpfw_tests::random;
use ftpfw_tests::scene::fill;
use ftpfw_tests::service;
use ftpfw_tests::transcript::Transcript;

use visit::{Came, Visit, visit};

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
    address_in_229 = "address-in-229",
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
    no_cr = "no-cr",
    nobody_listens = "nobody-listens",
    numbers_too_big = "numbers-too-big",
    one_byte_a_segment = "one-byte-a-segment",
    ordinary = "ordinary",
    other_spellings = "other-spellings",
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
    with_options(name, &[])
}

/// What the agent refuses where it alone opens is counted as where the programs do.
#[test]
fn refused_by_the_agent() -> Result<()> {
    with_options("two-ports", &["--opener", "agent"])
}

fn with_options(name: &str, options: &[&str]) -> Result<()> {
    let lab = Lab::new()?;
    let stage = Stage::set(&lab, name)?;
    let mut visits = visits(&stage.quirk);
    // Those that a file names are few, and it needs them.
    if stage.quirk.visitors.is_empty() {
        let place = QUIRKS.iter().position(|it| *it == name);
        visits = random::sample(visits, place.unwrap_or(0))?;
    }
    let alone = stage.alone(&visits)?;
    stage.behind_ftpfw(&visits, &alone, options)
}

/// A quirk, and its server on either address of a host.
struct Stage<'a> {
    lab: &'a Lab,
    quirk: Transcript,
    servers: [Quirky<'a>; 2],
}

impl<'a> Stage<'a> {
    fn set(lab: &'a Lab, name: &str) -> Result<Self> {
        let start = |family| {
            let script = Script::new(&read(lab, name, family)?, &read(lab, ORDINARY, family)?);
            Quirky::start(lab, family, script)
        };
        let quirk = read(lab, name, Family::V4)?;
        if let Some(port) = quirk.service {
            service::start(lab, port)?;
        }
        Ok(Self {
            lab,
            quirk,
            servers: [start(Family::V4)?, start(Family::V6)?],
        })
    }

    /// What each client can do at all.
    fn alone(&self, visits: &[Visit]) -> Result<Vec<Came>> {
        let came = visits.iter().map(|it| {
            let came = self.visit(it, None)?;
            let fails = self.quirk.fails.iter().any(|line| it.is_named(line));
            ensure!(came.works != fails, "without ftpfw, {it} {came}");
            Ok(came)
        });
        came.collect()
    }

    /// The same again, and nothing more.
    fn behind_ftpfw(&self, visits: &[Visit], alone: &[Came], options: &[&str]) -> Result<()> {
        let firewall = Firewall::start(&self.lab.server, options)?;
        let guard = Guard::new(self.lab, &firewall, self.quirk.service);
        for (it, alone) in visits.iter().zip(alone) {
            let came = self
                .visit(it, Some(&guard))
                .with_context(|| it.to_string())?;
            let right = match self.quirk.drops {
                true => !came.works,
                false => (came.works, &came.modes) == (alone.works, &alone.modes),
            };
            ensure!(right, "with ftpfw, {it} {came}\nwithout, it {alone}");
        }
        guard.at_the_end()?;
        let missed = guard.missed()?;
        ensure!(
            (missed > 0) == self.quirk.drops,
            "{missed} SYNs of the clients' were dropped"
        );
        Ok(())
    }

    fn visit(&self, it: &Visit, guard: Option<&Guard<'_>>) -> Result<Came> {
        let [v4, v6] = &self.servers;
        let server = match it.cell.family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        visit(self.lab, server, it, guard)
    }
}

fn read(lab: &Lab, name: &str, family: Family) -> Result<Transcript> {
    let path = Path::new(DIRECTORY).join(name).with_extension("txt");
    Transcript::read_filled(&path, |line| fill(lab, family, line))
}

/// Who comes in which mode. A quirk of a negotiation is for that one, over each family it exists on; any
/// other is for all modes, two over IPv4 and two over IPv6. Who takes a file brings one only where the
/// quirk speaks of STOR.
fn visits(quirk: &Transcript) -> Vec<Visit> {
    let has = |verb: &str| {
        let verb = verb.as_bytes();
        quirk.steps.iter().any(|step| step.bytes.starts_with(verb))
    };
    let uploads = has("STOR");
    let of_all_modes = !Mode::ALL.into_iter().any(|mode| has(mode.verb()));
    let wanted = |cell: &Cell| match of_all_modes {
        true => cell.family == Family::V6 || matches!(cell.mode, Mode::Pasv | Mode::Port),
        false => has(cell.mode.verb()),
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
            uploads,
        })
    };
    visitors.into_iter().flat_map(cells).collect()
}
