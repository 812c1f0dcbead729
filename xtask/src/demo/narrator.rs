//! How the story looks on the terminal.

use std::process::Command;
use std::time::Instant;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result, bail, ensure};

const TITLE: Style = Style::new().bold();
const QUOTE: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Counts the steps and says what came of each.
#[derive(Debug)]
pub struct Narrator {
    step: u32,
    began: Instant,
}

impl Narrator {
    /// Begins.
    pub fn new() -> Self {
        Self {
            step: 0,
            began: Instant::now(),
        }
    }

    /// The next step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n{TITLE}{}. {title}{TITLE:#}", self.step);
    }

    /// States what was checked.
    ///
    /// # Errors
    /// When it is not so, or when the demo was interrupted: then nothing more is to be said.
    pub fn check(&self, so: bool, statement: &str) -> Result<()> {
        ensure!(!super::interrupted(), "interrupted");
        if so {
            println!("   {GOOD}✓{GOOD:#} {statement}");
            return Ok(());
        }
        eprintln!("   {BAD}✗ not so:{BAD:#} {statement}");
        bail!("step {}: not so: {statement}", self.step);
    }

    /// Shows what someone else said: a line of the control connection, output of ftpfw.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("   {QUOTE}{line}{QUOTE:#}");
        }
    }

    /// Runs a query of ftpfw as a user would, and shows what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn query(&self, words: &[&str], command: &mut Command) -> Result<()> {
        let words = words.join(" ");
        let output = command
            .output()
            .with_context(|| format!("run ftpfw {words}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ftpfw {words}: {}", said.trim());
        self.quote(&format!("$ ftpfw {words}"));
        self.quote(&String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Ends.
    pub fn end(&self) {
        let time = self.began.elapsed().as_secs_f64();
        println!(
            "\n{GOOD}All of it held.{GOOD:#} {time:.1} s; namespaces, programs and pins are gone."
        );
    }
}

/// A number with its thousands set apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(64_512), "64,512");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }
}
