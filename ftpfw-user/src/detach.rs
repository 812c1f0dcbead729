//! `ftpfw detach`.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    agent::api,
    cli::{DetachArgs, Place},
    config::file,
    kernel::{
        Maps, PinDir, detach,
        lock::{Holder, PinLock},
        requirements,
    },
    query::{client, model::AgentRow},
};

/// How long an agent may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Removes the links of one interface, or everything; an agent that runs is ended first. What is not
/// there need not be removed.
///
/// # Errors
///
/// When an agent runs and does not answer or end, or is to lose one interface only; when the configuration
/// file does not say which ftpfw; for want of privileges, or when something cannot be removed.
pub async fn detach(args: &DetachArgs) -> anyhow::Result<()> {
    requirements::privileges()?;
    let place = place(args)?;
    let pins = PinDir::new(place.pin_dir.clone());
    let mut found = false;
    let mut lock = lock(&pins)?;
    if let Some(Err(holder)) = lock {
        end_agent(args, &place, holder).await?;
        found = true;
        lock = wait_for_lock(&pins, holder).await?;
    }
    found |= match &args.interface {
        None => detach::everything(&pins)?,
        Some(name) => one(&pins, name)?,
    };
    drop(lock);
    if !pins.in_use() {
        api::forget(&place.socket);
    }
    // Nobody may be reading; the work is done.
    let said = if found {
        "detached"
    } else {
        "nothing to detach"
    };
    let _unread = writeln!(io::stdout(), "{said}");
    Ok(())
}

/// Which ftpfw is meant: that of the configuration file, or of the flags.
fn place(args: &DetachArgs) -> anyhow::Result<Place> {
    let Some(path) = &args.config else {
        return Ok(args.place.clone());
    };
    Ok(file::place(path)?)
}

/// The lock of the pin directory, or who has it; `None` where there is no such directory.
fn lock(pins: &PinDir) -> anyhow::Result<Option<Result<PinLock, Holder>>> {
    match PinLock::take(pins) {
        // Perhaps an agent has removed it this very moment.
        _ if !pins.path().exists() => Ok(None),
        taken => taken.map(Some),
    }
}

/// Asks the agent that holds the lock to end. Only if it answers at the socket as who it is: another
/// `ftpfw detach` may hold the lock, and a number of a process be another's by now.
async fn end_agent(args: &DetachArgs, place: &Place, holder: Holder) -> anyhow::Result<()> {
    let path = place.pin_dir.display();
    if let Some(name) = &args.interface {
        bail!(
            "an agent ({holder}) runs on {path} and would attach to {name} again: \
             stop it (SIGTERM), and run it without {name}"
        );
    }
    let answer = timeout(PATIENCE, client::get(&place.socket, "/agent")).await;
    let pid = match answer {
        Ok(Ok(Some(AgentRow { pid, .. }))) => i32::try_from(pid).ok(),
        _ => None,
    };
    let Some(pid) = pid.filter(|pid| holder.pid == Some(*pid)) else {
        bail!(
            "an agent ({holder}) runs on {path} and does not answer at {}: \
             stop it (SIGTERM), then detach",
            place.socket.display(),
        );
    };
    kill(Pid::from_raw(pid), Signal::SIGTERM).with_context(|| format!("cannot stop process {pid}"))
}

async fn wait_for_lock(
    pins: &PinDir,
    holder: Holder,
) -> anyhow::Result<Option<Result<PinLock, Holder>>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock(pins)? {
            Some(Err(_)) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Some(Err(_)) => bail!("the agent ({holder}) does not end: kill it, then detach"),
            taken => return Ok(taken),
        }
    }
}

/// One interface; the last one takes everything with it.
fn one(pins: &PinDir, name: &str) -> anyhow::Result<bool> {
    let interfaces = pins.interfaces()?;
    let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
        return Ok(false);
    };
    if interfaces.len() == 1 {
        return detach::everything(pins);
    }
    detach::interface(interface)?;
    Maps::open(pins)?.nics()?.release(interface.index)?;
    Ok(true)
}
