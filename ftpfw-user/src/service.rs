//! What the service manager is told (sd_notify(3)). Where there is none, nothing happens.

use std::{future, io, time::Duration};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// A service manager that waits no longer than this means something else.
const SHORTEST: Duration = Duration::from_millis(1);

/// Started, or reloaded; `status` is a line for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => complain(&error),
    }
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Tells for ever that whoever polls this is alive, twice as often as the service manager asks
/// (`WatchdogSec=`). To be polled by the task that must not be stuck.
pub async fn watchdog() {
    let patience = sd_notify::watchdog_enabled().filter(|it| *it > SHORTEST);
    let Some(patience) = patience else {
        return future::pending().await;
    };
    let mut ticks = interval(patience / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&error);
    }
}

fn complain(error: &io::Error) {
    warn!("cannot tell the service manager: {error}");
}
