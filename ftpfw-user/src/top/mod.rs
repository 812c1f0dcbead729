//! `ftpfw top`: sessions, transfers, tuples and drops, live.
//!
//! * [`look`]: what maps and agent say at one moment;
//! * [`state`]: the last look, what was dropped before it, and what the user chose to see;
//! * [`mod@draw`]: state → frame, and nothing else;
//! * [`screen`]: the terminal, taken and given back.

mod draw;
mod look;
mod order;
mod screen;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    cli::TopArgs,
    config::UsageError,
    query::output::{colour, is_terminal},
};
use look::Look;
use screen::{Screen, keys};
use state::{State, Wish};

/// `ftpfw top`, until the user quits or a signal ends it.
///
/// # Errors
///
/// When nothing is attached (any more), or may not be looked at, or the terminal fails;
/// [`UsageError`] where there is no terminal.
pub async fn top(args: &TopArgs) -> anyhow::Result<()> {
    if !is_terminal() || !io::stdin().is_terminal() {
        let text = "top needs a terminal; `ftpfw status`, `ftpfw list` and `ftpfw stats --watch` \
                    print into files and pipes";
        return Err(UsageError(text.to_owned()).into());
    }
    // Before the screen is taken: what is wrong from the beginning is said where the user is.
    let first = Look::take(&args.place).await?;
    let state = State::new(first, colour());
    let mut screen = Screen::take().context("cannot take the terminal")?;
    let result = watch(args, state, &mut screen).await;
    drop(screen);
    result
}

async fn watch(args: &TopArgs, mut state: State, screen: &mut Screen) -> anyhow::Result<()> {
    // In tasks of their own: an agent that is slow to answer must not keep the user from quitting.
    let (sender, mut looks) = mpsc::channel(1);
    let looking = tokio::spawn(look::again(args.place.clone(), args.interval, sender));
    let mut keys = keys();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut suspend = signal(SignalKind::from_raw(nix::libc::SIGTSTP))?;
    let result = loop {
        if let Err(error) = screen.draw(&state) {
            break Err(error).context("cannot draw on the terminal");
        }
        let wish = tokio::select! {
            look = looks.recv() => match look {
                Some(Ok(look)) => { state.update(look); Wish::Watch }
                Some(Err(error)) => break Err(error),
                None => Wish::Quit,
            },
            key = keys.recv() => match key {
                Some(event) => state.on(&event),
                // The terminal is gone.
                None => Wish::Quit,
            },
            _ = terminate.recv() => Wish::Quit,
            _ = hang_up.recv() => Wish::Quit,
            _ = interrupt.recv() => Wish::Quit,
            _ = suspend.recv() => Wish::Suspend,
        };
        match wish {
            Wish::Watch => {}
            Wish::Quit => break Ok(()),
            Wish::Suspend => {
                if let Err(error) = screen.suspend() {
                    break Err(error).context("cannot take the terminal again");
                }
            }
        }
    };
    looking.abort();
    result
}
