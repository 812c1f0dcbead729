//! How large each program is and how much of it the verifier walks, against what is recorded: both creep.
//! `FTPFW_BLESS=1` writes the record anew. Of the programs for early kernels `FTPFW_PROGRAMS=early` has the
//! same looked at: what the verifier walks of them must stay far below its limit, a million.

use std::{env, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramInfo;
use ftpfw_common::abi::programs;
use ftpfw_user::kernel::{Kernel, LoadOptions, Programs, pins::AttachedMode};

/// By how much a number may change without a word, percent.
const SLACK: u32 = 10;

const HEAD: &str = "\
# Instructions of each program as the kernel holds it, subprograms included, and those that the verifier
# walked. Written by `FTPFW_BLESS=1 cargo test -p ftpfw-tests --test program_sizes`.
";

/// A program's name and its two numbers.
type Row = (String, u32, u32);

fn measure() -> Result<Vec<Row>> {
    let mut kernel = Kernel::load(&LoadOptions::default())?;
    let tracepoints = [
        programs::SOCKETS,
        programs::SOCKETS_AGAIN,
        programs::FORGET,
        programs::TURNED,
        programs::FORKS,
        programs::EXECS,
        programs::EXITS,
    ];
    let mut rows = vec![
        row(
            programs::INGRESS,
            kernel.ingress(AttachedMode::Native)?.info()?,
        )?,
        row(
            programs::INGRESS_LINEAR,
            kernel.ingress(AttachedMode::Generic)?.info()?,
        )?,
        row(programs::GUARD, kernel.guard()?.info()?)?,
        row(programs::COMMANDS, kernel.commands()?.info()?)?,
        row(programs::REPLIES, kernel.replies()?.info()?)?,
    ];
    for name in tracepoints {
        rows.push(row(name, kernel.tracepoint(name)?.info()?)?);
    }
    Ok(rows)
}

fn row(name: &str, info: ProgramInfo) -> Result<Row> {
    const BYTES: u32 = 8;
    let size = info.size_translated().context("no size")?;
    let verified = info.verified_instruction_count();
    // Before Linux 5.16 it does not tell.
    Ok((name.to_owned(), size / BYTES, verified.unwrap_or(0)))
}

/// The numbers are those of one kernel: others translate and verify in their own way.
fn kernel() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let numbers: Vec<_> = release.split(['.', '-']).take(2).collect();
    Ok(format!("# Linux {}\n", numbers.join(".")))
}

fn text(rows: &[Row]) -> Result<String> {
    let mut text = format!("{HEAD}{}program\tinstructions\tverified\n", kernel()?);
    for (name, size, verified) in rows {
        writeln!(text, "{name}\t{size}\t{verified}")?;
    }
    Ok(text)
}

fn read(text: &str) -> Result<Vec<Row>> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let row = |line: &str| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().with_context(|| format!("no row: {line}"));
        Ok((next()?.to_owned(), next()?.parse()?, next()?.parse()?))
    };
    lines.map(row).collect()
}

/// What has changed by more than [`SLACK`], or come, or gone.
fn changes(recorded: &[Row], now: &[Row]) -> Vec<String> {
    let names = |rows: &[Row]| rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>();
    if names(recorded) != names(now) {
        return vec![format!(
            "programs: {:?}, recorded {:?}",
            names(now),
            names(recorded)
        )];
    }
    let off = |was: u32, is: u32| was.abs_diff(is) * 100 > was * SLACK;
    let pairs = recorded.iter().zip(now);
    pairs
        .filter(|(was, is)| off(was.1, is.1) || off(was.2, is.2))
        .map(|((name, size, verified), is)| {
            format!(
                "{name}: {size} instructions, now {}; {verified} verified, now {}",
                is.1, is.2
            )
        })
        .collect()
}

#[test]
fn programs_are_as_large_as_recorded() -> Result<()> {
    let name = match Programs::for_this_kernel() {
        Programs::Full => "programs.tsv",
        Programs::Early => "programs-early.tsv",
    };
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let path = snapshots.join(name);
    let now = measure()?;
    let written = text(&now)?;
    print!("{written}");
    if env::var_os("FTPFW_BLESS").is_some() {
        return fs::write(&path, written).with_context(|| format!("cannot write {path:?}"));
    }
    let recorded = fs::read_to_string(&path).with_context(|| format!("cannot read {path:?}"))?;
    if !recorded.contains(&kernel()?) {
        println!("recorded on another kernel: not compared");
        return Ok(());
    }
    let changes = changes(&read(&recorded)?, &now);
    ensure!(
        changes.is_empty(),
        "by more than {SLACK} %:\n{}\nIf that is meant, record it by FTPFW_BLESS=1 and say why in the \
         commit",
        changes.join("\n")
    );
    Ok(())
}

#[test]
fn more_than_a_tenth_is_a_change() {
    let row = |size, verified| [("ingress".to_owned(), size, verified)];
    for (size, verified, changed) in [
        (100, 1000, false),
        (110, 1000, false),
        (90, 900, false),
        (111, 1000, true),
        (89, 1000, true),
        (100, 1101, true),
    ] {
        let found = changes(&row(100, 1000), &row(size, verified));
        assert_eq!(!found.is_empty(), changed, "{found:?}");
    }
    assert_eq!(changes(&row(1, 1), &[]).len(), 1);
}
