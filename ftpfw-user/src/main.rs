//! The command `ftpfw`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use ftpfw_user::{
    cli::{Cli, Command},
    config::UsageError,
    execute, logging, prepare,
};
use tokio::runtime::Runtime;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(cli.verbose);
    match perform(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // `eprintln!` would panic where nobody listens.
            let _unread = writeln!(io::stderr(), "ftpfw: {error:#}");
            ExitCode::from(if error.is::<UsageError>() {
                WRONG_USAGE
            } else {
                FAILED
            })
        }
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    prepare(&command)?;
    Runtime::new()?.block_on(execute(command))
}
