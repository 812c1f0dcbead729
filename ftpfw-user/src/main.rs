//! The command `ftpfw`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use ftpfw_user::{cli::Cli, config::UsageError, execute, logging};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(cli.verbose);
    match execute(cli.command).await {
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
