//! Who opens, where the kernel leaves no choice.

use anyhow::bail;

use super::Config;
use crate::kernel::Programs;

impl Config {
    /// Leaves it to the agent where the programs cannot. What is to be said about that, to who might expect
    /// something else.
    ///
    /// # Errors
    ///
    /// When the programs were asked to.
    pub fn fit(&mut self, programs: Programs) -> anyhow::Result<Option<&'static str>> {
        if programs.can_open() || self.settings.inline_opener == 0 {
            return Ok(None);
        }
        if self.inline_opener_asked {
            bail!(
                "the opener `inline` needs bpf_loop, which this kernel lacks (Linux 5.17 has it): \
                 choose the other one, `--opener agent`"
            );
        }
        self.settings = programs.fit(self.settings);
        Ok(Some(
            "this kernel lacks bpf_loop (Linux 5.17 has it), so the agent opens and not the programs: \
             a client that is faster connects a second later",
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    /// The opener that is left, whether something is said, or that it is refused.
    fn fitted(arguments: &str, programs: Programs) -> anyhow::Result<(u32, bool)> {
        let words = format!("ftpfw run -i lo {arguments}");
        let Command::Run(args) = Cli::parse_from(words.split_whitespace()).command else {
            panic!("not `run`: {words}");
        };
        let mut config = Config::resolve(&args)?;
        let said = config.fit(programs)?;
        Ok((config.settings.inline_opener, said.is_some()))
    }

    #[test]
    fn only_who_asked_for_what_cannot_be_is_refused() {
        for (arguments, early, full) in [
            ("", Some((0, true)), (1, false)),
            ("--opener agent", Some((0, false)), (0, false)),
            ("--opener inline", None, (1, false)),
        ] {
            assert_eq!(
                fitted(arguments, Programs::Early).ok(),
                early,
                "{arguments}"
            );
            let fitted = fitted(arguments, Programs::Full);
            assert_eq!(fitted.expect("nothing is missing"), full, "{arguments}");
        }
    }
}
