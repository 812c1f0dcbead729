//! The verdict table: each packet through the programs that run the filter, by BPF_PROG_TEST_RUN, and
//! through the host build of the same code. All must agree with the table, and count one reason, once.
//!
//! * `FTPFW_RANDOM=N`: number of random frames;
//! * `FTPFW_SEED=N`: seed of the first; the others follow it.

mod host;
mod page;
mod programs;
mod random;
mod setup;
mod table;
mod world;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::{abi::policy::Settings, reason::Reason};
use ftpfw_tests::packets::{Extension, tcp, with_extensions};
use ftpfw_tests::random::sparse;

use host::HostTables;
use programs::{Bench, Program};
use setup::Setup;
use table::{Case, FOLLOWER};
use world::World;

#[test]
fn on_the_host() -> Result<()> {
    let world = World::new()?;
    let mut wrong = Vec::new();
    for setup in Setup::ALL {
        let mut tables = HostTables::new(&world, setup);
        for case in table::cases(&world, setup) {
            let reason = tables.judge(&case.frame).0;
            if reason == Reason::Tuple {
                tables.answer();
            }
            if reason != case.reason {
                wrong.push(format!(
                    "{setup:?}: {}: {reason:?}, not {:?}",
                    case.title(),
                    case.reason
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn in_every_program() -> Result<()> {
    let mut wrong = Vec::new();
    for setup in Setup::ALL {
        for program in Program::ALL {
            // Before the agent has found out what is idle, and after.
            for idle in [false, true] {
                let mut bench = Bench::load(program, setup)?;
                let world = World::new()?;
                let cases = table::cases(&world, setup);
                bench.reset(&world)?;
                if idle {
                    bench.find_idle()?;
                }
                let mut run = || play(&mut bench, &cases, false);
                let (found, skipped) = world.netns().run(&mut run)??;
                let found = found.into_iter();
                wrong.extend(found.map(|it| format!("{setup:?}, idle known {idle}: {it}")));
                println!("{setup:?}, {program:?}: {} packets", cases.len() - skipped);
                let all_seen = program == Program::Ingress && bench.sees_all();
                ensure!(!all_seen || skipped == 0, "{skipped} skipped");
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The same verdicts, none of them carried out.
#[test]
fn under_dry_run() -> Result<()> {
    let settings = Settings {
        dry_run: 1,
        ..Settings::DEFAULT
    };
    for program in Program::ALL {
        let mut bench = Bench::load_with(program, Setup::Defaults, settings)?;
        let world = World::new()?;
        let cases = table::cases(&world, Setup::Defaults);
        bench.reset(&world)?;
        let (wrong, _) = world.netns().run(|| play(&mut bench, &cases, true))??;
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    Ok(())
}

/// What went wrong, and how many frames the kernel has no test run for.
fn play(bench: &mut Bench, cases: &[Case], dry_run: bool) -> Result<(Vec<String>, usize)> {
    let (mut wrong, mut skipped) = (Vec::new(), 0);
    let follows = bench.program == Program::Guard;
    for case in cases {
        match bench.check(&case.frame, &case.reasons(follows), dry_run) {
            Ok(true) => {}
            Ok(false) => skipped += 1,
            Err(error) => wrong.push(format!("{}: {error:#}", case.title())),
        }
    }
    Ok((wrong, skipped))
}

/// No frame, however it is cut, makes one of the programs and the host disagree. Of how many frames one is cut
/// where processors are emulated: `FTPFW_SPARSE`.
#[test]
fn kernel_and_host_agree_on_every_cut_of_every_packet() -> Result<()> {
    for setup in Setup::ALL {
        for program in Program::ALL {
            let mut bench = Bench::load(program, setup)?;
            let world = World::new()?;
            let cases = table::cases(&world, setup);
            bench.reset(&world)?;
            bench.find_idle()?;
            let mut tables = HostTables::new(&world, setup);
            let sparse = sparse()?.get();
            // Those that are followed build on each other.
            let is_chosen =
                |at: usize, case: &Case| at.is_multiple_of(sparse) || case.theme == FOLLOWER;
            let chosen = cases.iter().enumerate();
            let chosen = chosen.filter(|(at, case)| is_chosen(*at, case));
            let mut cut_all = || -> Result<()> {
                for (_, case) in chosen.clone() {
                    cut_each(&mut bench, &mut tables, case).with_context(|| case.title())?;
                }
                Ok(())
            };
            world.netns().run(&mut cut_all)??;
        }
    }
    Ok(())
}

fn cut_each(bench: &mut Bench, tables: &mut HostTables, case: &Case) -> Result<()> {
    const HEADERS: usize = 200;
    let whole = case.frame.len();
    // The kernel takes no test frame that is shorter than its Ethernet header. Behind the headers, a
    // few cuts do.
    for length in (14..whole.min(HEADERS))
        .chain((HEADERS..whole).step_by(997))
        .chain([whole])
    {
        let cut = &case.frame[..length];
        let (reason, mut follower) = tables.judge(cut);
        if length == whole {
            follower = case.follower;
        }
        let follower = follower.filter(|_| bench.program == Program::Guard);
        let passes = reason.is_pass() && follower.is_none();
        let Some(action) = bench.run(cut)? else {
            continue;
        };
        ensure!(
            action == bench.program.action(passes),
            "{:?}, {length} bytes: {action} but {reason:?}, {follower:?}",
            bench.program
        );
    }
    Ok(())
}

/// The one difference between host and kernel: the host sees a frame in one piece, XDP its first buffer.
/// Drivers put far more than the headers there; a chain of options that is longer is dropped.
#[test]
fn headers_behind_the_first_buffer_are_not_read() -> Result<()> {
    let world = World::new()?;
    let side = &world.sides[1];
    let client = SocketAddr::new(side.client, 20_000);
    let server = SocketAddr::new(side.server, world::TUPLE);
    let longest = Extension {
        number: 60,
        length: 255,
        body: vec![0; 256 * 8 - 2],
    };
    let syn = tcp(client, server, "S", b"");
    let frame = with_extensions(&syn, &[longest.clone(), longest]);
    let mut tables = HostTables::new(&world, Setup::Defaults);
    ensure!(tables.judge(&frame).0 == Reason::Tuple);
    let mut bench = Bench::load(Program::Ingress, Setup::Defaults)?;
    bench.reset(&world)?;
    let sees_all = bench.sees_all();
    let mut run = || bench.check(&frame, &[Reason::Malformed], false);
    ensure!(
        world.netns().run(&mut run)?? == sees_all,
        "the kernel refuses the test run, or takes half the frame for all of it"
    );
    Ok(())
}

/// Every reason that the filter has, at least once; every packet under a name of its own.
#[test]
fn the_table_is_complete() -> Result<()> {
    let world = World::new()?;
    let mut names = HashSet::new();
    let mut reasons = HashSet::new();
    // By theme: packets, and how many of their names differ by more than the family.
    let mut themes: BTreeMap<&str, (usize, HashSet<String>)> = BTreeMap::new();
    for setup in Setup::ALL {
        for case in table::cases(&world, setup) {
            ensure!(names.insert(case.title()), "twice: {}", case.title());
            reasons.extend(case.reasons(false));
            let (packets, distinct) = themes.entry(case.theme).or_default();
            *packets += 1;
            distinct.insert(case.name);
        }
    }
    for reason in Reason::ALL {
        let of_the_filter = !matches!(
            reason,
            Reason::ControlOutOfOrder | Reason::ControlChecksum | Reason::BounceOut
        );
        ensure!(
            of_the_filter == reasons.contains(reason),
            "{reason:?}: of the filter {of_the_filter}, in the table {}",
            !of_the_filter
        );
    }
    for (theme, (packets, distinct)) in &themes {
        println!("{theme}: {packets} packets, {} names", distinct.len());
    }
    let distinct: usize = themes.values().map(|(_, distinct)| distinct.len()).sum();
    println!("{} packets, {distinct} names", names.len());
    ensure!(distinct > 700, "the table has shrunk to {distinct} names");
    Ok(())
}
