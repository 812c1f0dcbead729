//! What came of it: a table of kernels and suites.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::kernel::Kernel;
use super::qemu::Ending;

/// A suite on a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    suite: String,
    passed: u32,
    failed: u32,
    /// The guest's time.
    seconds: String,
    /// Names of the tests that failed, and how the machine ended if it did before they did.
    failures: Vec<String>,
}

/// A kernel.
#[derive(Debug)]
pub struct Run {
    /// Which.
    pub kernel: Kernel,
    /// From the first machine's start to the last one's end.
    pub time: Duration,
    /// What ran.
    pub rows: Vec<Row>,
    /// What the kernel has: names and values.
    pub features: Vec<(String, String)>,
}

impl Run {
    fn passed(&self) -> u32 {
        self.rows.iter().map(|row| row.passed).sum()
    }

    /// Failed tests; at least one for a machine that ended badly.
    pub fn failed(&self) -> u32 {
        self.rows.iter().map(|row| row.failed).sum()
    }
}

/// Reads what a machine has left of a suite in `results`. One that did not come to its end counts as a test
/// that failed.
///
/// # Errors
/// When the log cannot be read.
pub fn read(results: &Path, suite: &str, ending: &Ending) -> Result<Row> {
    let ended = fs::read_to_string(results.join("results")).unwrap_or_default();
    let path = results.join(format!("{suite}.log"));
    let log = if path.exists() {
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::new()
    };
    let mut row = row(suite, &log, &ended);
    if *ending != Ending::Passed {
        row.failed = row.failed.max(1);
    }
    if let Ending::Broke(how) = ending {
        row.failures.push(format!("({how})"));
    }
    Ok(row)
}

fn row(suite: &str, log: &str, ended: &str) -> Row {
    let mut row = Row {
        suite: suite.to_owned(),
        seconds: "-".to_owned(),
        ..Row::default()
    };
    for line in log.lines() {
        // A test that prints puts its words between its name and this.
        if let Some(name) = line.strip_prefix("---- ") {
            let name = name.strip_suffix(" stdout ----").unwrap_or(name);
            row.failures.push(name.to_owned());
        }
        if let Some((passed, failed)) = summary(line) {
            row.passed += passed;
            row.failed += failed;
        }
    }
    let line = ended.lines().find_map(|line| {
        let mut parts = line.split('\t');
        (parts.next()? == suite).then_some((parts.next()?, parts.next()?))
    });
    match line {
        Some((status, seconds)) => {
            row.seconds = seconds.to_owned();
            if status != "0" && row.failed == 0 {
                row.failed = 1;
                row.failures.push(format!("(ended with status {status})"));
            }
        }
        None => {
            row.failed += 1;
            row.failures.push("(did not come to its end)".to_owned());
        }
    }
    row
}

/// "test result: ok. 9 passed; 0 failed; 0 ignored; …".
fn summary(line: &str) -> Option<(u32, u32)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        let part = counts.split("; ").find(|part| part.ends_with(word))?;
        part.split(' ').next()?.parse().ok()
    };
    Some((count(" passed")?, count(" failed")?))
}

/// Prints the table; the last line is `N passed, N failed`. Whether something passed and nothing failed:
/// a filter that no test matches proves nothing.
pub fn print(runs: &[Run]) -> bool {
    println!("──");
    for run in runs {
        println!(
            "{} ({}), {:.1} s",
            run.kernel.line.name(),
            run.kernel.version,
            run.time.as_secs_f64()
        );
        let ran = |row: &&Row| row.passed + row.failed > 0;
        for row in run.rows.iter().filter(ran) {
            println!(
                "  {:<20} {:>4} passed {:>4} failed {:>8} s",
                row.suite, row.passed, row.failed, row.seconds
            );
            for failure in &row.failures {
                println!("      {failure}");
            }
        }
    }
    let passed: u32 = runs.iter().map(Run::passed).sum();
    let failed: u32 = runs.iter().map(Run::failed).sum();
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "test a ... ok\ntest b ... FAILED\n\n---- b stdout ----\nError: x\n\n\
                       test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out\n";

    #[test]
    fn a_log_is_counted_and_its_failures_are_named() {
        let row = row("one", LOG, "other\t0\t1.0\none\t101\t2.5\n");
        assert_eq!((row.passed, row.failed), (1, 1));
        assert_eq!(row.seconds, "2.5");
        assert_eq!(row.failures, ["b"]);
    }

    #[test]
    fn a_suite_without_an_end_has_failed() {
        for log in ["", "test a ... ok\n"] {
            assert_eq!(row("one", log, "").failed, 1);
        }
        assert_eq!(row("one", "", "one\t-1\t2.5\n").failed, 1);
    }
}
