//! Standard output: a reader that goes away early (`| head`) is content with what it got, and colour is
//! for terminals.

use std::{
    env, future,
    io::{self, BufWriter, IsTerminal as _, StdoutLock, Write},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Standard output, written to in blocks.
#[derive(Debug)]
pub struct Output {
    writer: BufWriter<StdoutLock<'static>>,
    /// The reader went away.
    left: bool,
}

impl Output {
    /// Writes what `print` writes. That nobody reads on is no error, and ends `print` by one.
    ///
    /// # Errors
    ///
    /// Those of `print`, and any other error of standard output.
    pub fn write(print: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut output = Self {
            writer: BufWriter::new(io::stdout().lock()),
            left: false,
        };
        let result = print(&mut output).and_then(|()| Ok(output.flush()?));
        match output.left {
            true => Ok(()),
            false => result,
        }
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.left |= error.kind() == io::ErrorKind::BrokenPipe;
        }
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.writer.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.writer.flush();
        self.note(result)
    }
}

/// Whether standard output is a terminal that is redrawn rather than appended to.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether to colour: on a terminal, unless `NO_COLOR` is set to anything (<https://no-color.org>).
#[must_use]
pub fn colour() -> bool {
    is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns when the reader at the other end of a pipe has gone, even if there is nothing to print.
pub async fn nobody_reads() {
    // SAFETY: this process never closes its standard output.
    let output = unsafe { AsyncFd::register_with_interest(io::stdout(), Interest::ERROR) };
    // A file cannot be waited for, and nobody leaves it.
    if let Ok(output) = output
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    future::pending::<()>().await;
}
