//! Waiting for events of other processes, with a deadline and never for luck.

use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything on one machine may take. Generous: it is only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `probe` has an answer.
///
/// # Errors
/// What `probe` fails with, at once; or, after [`PATIENCE`], that `what` did not happen.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of a process.
///
/// # Errors
/// When it is still there after [`PATIENCE`].
pub fn exit(what: &str, child: &mut Child) -> Result<ExitStatus> {
    until(&format!("the end of {what}"), || {
        child.try_wait().with_context(|| format!("wait for {what}"))
    })
}
