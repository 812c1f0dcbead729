//! Waiting for events of other processes, with a deadline and never for luck.

use std::env;
use std::process::{Child, ExitStatus};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything on one machine may take. Generous: it is only ever reached by a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait: 60 s, times the environment variable `FTPFW_PATIENCE`, for machines that are slow
/// as such (a processor that is emulated).
#[must_use]
pub fn patience() -> Duration {
    PATIENCE * factor()
}

/// How many times longer than usual everything may take: `FTPFW_PATIENCE`, 1 without it.
///
/// # Panics
/// When the variable is no number: whoever set it wants to know.
#[must_use]
pub fn factor() -> u32 {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    *FACTOR.get_or_init(|| match env::var("FTPFW_PATIENCE") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("FTPFW_PATIENCE is {text}, which is no whole number")),
        Err(_) => 1,
    })
}

/// Asks again and again until `probe` has an answer.
///
/// # Errors
/// What `probe` fails with, at once; or, after [`patience`], that `what` did not happen.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let patience = patience();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of a process.
///
/// # Errors
/// When it is still there after [`patience`].
pub fn exit(what: &str, child: &mut Child) -> Result<ExitStatus> {
    until(&format!("the end of {what}"), || {
        child.try_wait().with_context(|| format!("wait for {what}"))
    })
}
