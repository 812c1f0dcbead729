//! Log lines on standard error, from tracing, from the libraries' `log`, and from the programs.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Installs it. `verbose`: 0 what an operator wants to know, 1 what a developer wants, 2 everything.
pub fn init(verbose: u8) {
    let (own, others) = match verbose {
        0 => (LevelFilter::INFO, LevelFilter::WARN),
        1 => (LevelFilter::DEBUG, LevelFilter::INFO),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // The programs' messages come with their crate's name, `ftpfw_ebpf`, as target.
    let targets = Targets::new()
        .with_default(others)
        .with_target("ftpfw", own);
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour)
        .with_target(verbose > 0);
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .init();
}
