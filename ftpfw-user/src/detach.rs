//! `ftpfw detach`.

use std::io::{self, Write as _};

use crate::{
    agent::api,
    cli::DetachArgs,
    kernel::{Maps, PinDir, detach, requirements},
    run::refuse_while_locked,
};

/// Removes the links of one interface, or everything. What is not there need not be removed.
///
/// # Errors
///
/// When an agent runs, for want of privileges, or when something cannot be removed.
pub fn detach(args: &DetachArgs) -> anyhow::Result<()> {
    requirements::privileges()?;
    let pins = PinDir::new(args.place.pin_dir.clone());
    let _lock = refuse_while_locked(&pins, pins.path())?;
    let found = match &args.interface {
        None => detach::everything(&pins)?,
        Some(name) => one(&pins, name)?,
    };
    if !pins.in_use() {
        api::forget(&args.place.socket);
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
