//! A test program: run to its end, its words to the console and to the host.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::plan::Suite;
use crate::root::RESULTS;

/// Runs a suite and adds a line to the results: `NAME STATUS SECONDS`. Whether it passed.
///
/// # Errors
/// When it cannot be started or the results cannot be written.
pub fn run(suite: &Suite, environment: &[(String, String)]) -> Result<bool> {
    println!("── {}", suite.name);
    let begin = Instant::now();
    let status = run_logged(suite, environment).with_context(|| suite.name.clone())?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut results = OpenOptions::new()
        .create(true)
        .append(true)
        .open(format!("{RESULTS}/results"))
        .context("open the results")?;
    // A signal has no code.
    let code = status.code().unwrap_or(-1);
    writeln!(results, "{}\t{code}\t{seconds:.1}", suite.name).context("write the results")?;
    Ok(status.success())
}

fn run_logged(suite: &Suite, environment: &[(String, String)]) -> Result<ExitStatus> {
    let mut log = File::create(format!("{RESULTS}/{}.log", suite.name))?;
    let (output, input) = pipe()?;
    let mut child = Command::new(&suite.program)
        .args(&suite.arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .spawn()
        .with_context(|| format!("run {}", suite.program))?;
    for line in BufReader::new(output).split(b'\n') {
        let mut line = line?;
        line.push(b'\n');
        log.write_all(&line)?;
        let _console_is_for_watching = std::io::stdout().write_all(&line);
    }
    child.wait().context("wait for it")
}
