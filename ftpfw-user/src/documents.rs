//! `ftpfw completions` and `ftpfw man`: made from the command line itself, so that they cannot
//! disagree with it.

use std::{fs, io::Write as _};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::{
    cli::{Cli, CompletionsArgs, ManArgs},
    query::output::Output,
};

/// Prints a shell's completions.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ftpfw", &mut script);
    Output::write(|output| Ok(output.write_all(&script)?))
}

/// Prints the manual page, or writes one for each verb too.
///
/// # Errors
///
/// When the directory cannot be made or written to.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    if let Some(directory) = &args.dir {
        let cannot = || format!("cannot write manual pages into {}", directory.display());
        fs::create_dir_all(directory).with_context(cannot)?;
        return clap_mangen::generate_to(Cli::command(), directory).with_context(cannot);
    }
    // As clap_mangen does it for a directory.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Output::write(|output| Ok(output.write_all(&page)?))
}
