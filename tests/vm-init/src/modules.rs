//! Kernel modules: the few that the root needs, from the initramfs; the others by `modprobe`.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::io::Errno;

/// Loads the modules that `/modules` lists, in that order.
///
/// # Errors
/// With the module that the kernel refuses.
pub fn load_listed() -> Result<()> {
    for path in fs::read_to_string("/modules")
        .context("read /modules")?
        .lines()
    {
        let file = File::open(path).with_context(|| format!("open {path}"))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("load {path}")),
        }
    }
    Ok(())
}

/// Loads a module and what it depends on. One that the kernel has not is no error: a test that needs
/// it says so better.
pub fn probe(name: &str) {
    let done = Command::new("/sbin/modprobe").args(["-q", name]).status();
    if !done.is_ok_and(|status| status.success()) {
        println!("vm-init: this kernel has no module {name}");
    }
}
