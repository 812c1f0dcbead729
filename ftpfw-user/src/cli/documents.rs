//! Arguments of the verbs that packagers need: `ftpfw completions` and `ftpfw man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `ftpfw completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell.
    pub shell: Shell,
}

/// `ftpfw man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write ftpfw.1 and a page for each verb into this directory, instead of ftpfw.1 to standard
    /// output.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
