//! The kernel's file system that ftpfw pins to.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use ftpfw_tests::mounts;

/// Mounts a bpffs where there is none, and says so.
///
/// # Errors
/// Without root, or when the kernel lacks it.
pub fn mount() -> Result<()> {
    let before = mounted()?;
    mounts::ensure().context("run `cargo xtask setup` as root")?;
    for new in mounted()?.difference(&before) {
        println!("setup: mounted {new} (ftpfw needs it in the kernel's view)");
    }
    Ok(())
}

/// What is mounted below /sys, as "place".
fn mounted() -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    Ok(places
        .filter(|place| place.starts_with("/sys/"))
        .map(str::to_owned)
        .collect())
}
