//! What to do, as the host wrote it: a thing a line, its parts separated by tabs.
//!
//! ```text
//! version    6.12.1-amd64            the kernel's, as its modules' directory has it
//! directory  /the/repository/tests   where the tests run
//! module     veth                    to be loaded, if the kernel has it
//! set        NAME VALUE              of the tests' environment
//! suite      NAME PROGRAM ARGUMENT…  to be run, one after the other
//! ```

use anyhow::{Context as _, Result, bail};

/// All of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The kernel's version.
    pub version: String,
    /// The tests' working directory.
    pub directory: String,
    /// Modules that nobody loads by itself.
    pub modules: Vec<String>,
    /// The tests' environment.
    pub environment: Vec<(String, String)>,
    /// The test programs.
    pub suites: Vec<Suite>,
}

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// What it is called in the results.
    pub name: String,
    /// Its file.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The line that says nothing.
    pub fn read(text: &str) -> Result<Self> {
        let mut plan = Self::default();
        for line in text.lines() {
            plan.line(line)
                .with_context(|| format!("/plan: `{line}`"))?;
        }
        Ok(plan)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let mut parts = line.split('\t').map(str::to_owned);
        let mut part = || parts.next().context("something is missing");
        match part()?.as_str() {
            "version" => self.version = part()?,
            "directory" => self.directory = part()?,
            "module" => self.modules.push(part()?),
            "set" => self.environment.push((part()?, part()?)),
            "suite" => {
                let (name, program) = (part()?, part()?);
                self.suites.push(Suite {
                    name,
                    program,
                    arguments: parts.collect(),
                });
            }
            other => bail!("{other} is unknown"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_line_by_line() -> Result<()> {
        let text = "version\t6.1\ndirectory\t/src\nmodule\tveth\nset\tA\tb c\nsuite\tone\t/bin/one\t-x\t\n";
        let plan = Plan::read(text)?;
        assert_eq!(plan.version, "6.1");
        assert_eq!(plan.environment, [("A".to_owned(), "b c".to_owned())]);
        assert_eq!(plan.suites[0].arguments, ["-x", ""]);
        Ok(())
    }

    #[test]
    fn an_unknown_or_short_line_is_named() {
        for line in ["frobnicate\tx", "suite\tname", "set\tA"] {
            let error = format!("{:#}", Plan::read(line).expect_err(line));
            assert!(error.contains(line), "{error}");
        }
    }
}
