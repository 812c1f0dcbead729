//! Every capture against `captures.tsv`: a line each, tab-separated, `-` for none.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use ftpfw_user::{
    config::PortPolicy,
    replay::{self, model::Report},
};

/// The captures that come with the repository.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// Beside the workspace: captures that are too many to come with it. Those of real servers are in
/// `own`.
fn shared() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    if directory.is_dir() {
        return Some(directory);
    }
    eprintln!(
        "SKIPPED: {} does not exist, so only the captures in {} were replayed",
        directory.display(),
        here().display()
    );
    None
}

/// The captures of a directory, by name.
fn captures(directory: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("{directory:?}"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|it| it == "pcap" || it == "pcapng")
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.insert(name.into_owned(), path);
        }
    }
    ensure!(!found.is_empty(), "no capture in {directory:?}");
    Ok(found)
}

/// In a quarter of the captures in `own` a directory's name, nine bytes long, was replaced by this,
/// in place and without a thought for the length of the packet that it stood in. Nine bytes of
/// anything make them captures again.
const REPLACED: &[u8] = b"@FTPM@";
const PUT_BACK: &[u8] = b"/tmp/ftpm";

/// Replays one capture, repaired where it must be.
fn replay(path: &Path) -> Result<Report> {
    let bytes = fs::read(path)?;
    let parts: Vec<_> = split(&bytes, REPLACED);
    let policy = PortPolicy::default();
    if parts.len() == 1 {
        return replay::report(path, &[], &policy);
    }
    let repaired = tempfile::NamedTempFile::new()?;
    fs::write(repaired.path(), parts.join(PUT_BACK))?;
    replay::report(repaired.path(), &[], &policy)
}

fn split<'a>(mut bytes: &'a [u8], at: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(found) = bytes.windows(at.len()).position(|window| window == at) {
        parts.push(&bytes[..found]);
        bytes = &bytes[found + at.len()..];
    }
    parts.push(bytes);
    parts
}

/// A line of the table, but for its last column: a note, for people.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    file: String,
    sessions: usize,
    passive: usize,
    active: usize,
    refused: String,
    passed: usize,
    dropped: String,
}

impl Line {
    fn of(file: &str, report: &Report) -> Self {
        let armed = |mode: &str| {
            let rows = report.sessions.iter().flat_map(|it| &it.negotiations);
            rows.filter(|it| it.mode == mode).count()
        };
        let refusals = report.sessions.iter().flat_map(|it| &it.refusals);
        let dropped = report.connections.iter().filter(|it| !it.passes());
        Self {
            file: file.to_owned(),
            sessions: report.sessions.len(),
            passive: armed("passive"),
            active: armed("active"),
            refused: counted(refusals.map(|it| it.reason.to_owned())),
            passed: report.connections.iter().filter(|it| it.passes()).count(),
            dropped: counted(dropped.map(|it| {
                let tls = if it.tls { " (tls)" } else { "" };
                format!("{}{tls}", it.reason)
            })),
        }
    }

    fn parse(line: &str) -> Result<Self> {
        let columns: Vec<_> = line.split('\t').collect();
        let [
            file,
            sessions,
            passive,
            active,
            refused,
            passed,
            dropped,
            _note,
        ] = columns[..]
        else {
            anyhow::bail!("{} columns, not 8: {line:?}", columns.len());
        };
        Ok(Self {
            file: file.to_owned(),
            sessions: sessions.parse()?,
            passive: passive.parse()?,
            active: active.parse()?,
            refused: refused.to_owned(),
            passed: passed.parse()?,
            dropped: dropped.to_owned(),
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            sessions,
            passive,
            active,
            refused,
            passed,
            dropped,
        } = self;
        write!(
            f,
            "{file}\t{sessions}\t{passive}\t{active}\t{refused}\t{passed}\t{dropped}"
        )
    }
}

/// `2 bounce, 1 low-port`, or `-`.
fn counted(names: impl Iterator<Item = String>) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    if counts.is_empty() {
        return "-".to_owned();
    }
    let texts: Vec<_> = counts
        .iter()
        .map(|(name, number)| format!("{number} {name}"))
        .collect();
    texts.join(", ")
}

/// What `captures.tsv` expects, by file.
fn expected() -> Result<BTreeMap<String, Line>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures.tsv");
    let text = fs::read_to_string(&path).with_context(|| format!("{path:?}"))?;
    let lines = text.lines().skip(1).map(Line::parse);
    lines
        .map(|line| line.map(|line| (line.file.clone(), line)))
        .collect()
}

/// Whatever the table says: a plain session's data connections come through, and by a tuple; of an
/// encrypted session's, those that the server dials do.
fn unexplained(name: &str, report: &Report) -> String {
    let rows = report.connections.iter();
    let odd = rows.filter(|row| {
        let met_in_the_middle = row.mode.is_none();
        match row.tls {
            false => !row.passes() || !(met_in_the_middle || row.reason == "tuple"),
            true => row.passes() != (met_in_the_middle || row.mode == Some("active")),
        }
    });
    odd.map(|row| format!("{name}: unexplained {row:?}\n"))
        .collect()
}

/// Replays the captures and compares each with its line.
fn check(captures: &BTreeMap<String, PathBuf>) -> Result<()> {
    let expected = expected()?;
    let mut wrong = String::new();
    for (name, path) in captures {
        let report = replay(path)?;
        wrong += &unexplained(name, &report);
        let came = Line::of(name, &report);
        match expected.get(name) {
            Some(line) if *line == came => {}
            Some(line) => wrong += &format!("expected {line}\ncame     {came}\n"),
            None => wrong += &format!("expected nothing\ncame     {came}\n"),
        }
    }
    ensure!(wrong.is_empty(), "by captures.tsv:\n{wrong}");
    Ok(())
}

#[test]
fn captures_of_the_repository() -> Result<()> {
    check(&captures(&here())?)
}

#[test]
fn captures_of_others() -> Result<()> {
    match shared() {
        Some(directory) => check(&captures(&directory)?),
        None => Ok(()),
    }
}

#[test]
fn captures_of_real_servers() -> Result<()> {
    match shared() {
        Some(directory) => check(&captures(&directory.join("own"))?),
        None => Ok(()),
    }
}

#[test]
fn the_table_has_no_line_without_a_capture() -> Result<()> {
    let Some(directory) = shared() else {
        return Ok(());
    };
    let mut files: BTreeSet<_> = captures(&here())?.into_keys().collect();
    files.extend(captures(&directory)?.into_keys());
    files.extend(captures(&directory.join("own"))?.into_keys());
    let lines: BTreeSet<_> = expected()?.into_keys().collect();
    let gone: Vec<_> = lines.difference(&files).collect();
    ensure!(gone.is_empty(), "no capture for {gone:?}");
    Ok(())
}
