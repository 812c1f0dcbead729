//! What the programs and the agent of one ftpfw have used.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use ftpfw_common::abi::maps;
use ftpfw_tests::firewall::Firewall;

use crate::proc;

/// Ticks of proc_pid_stat(5) in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Has the kernel measure how long programs run, for as long as it lives; that costs each run some
/// 20 ns, which are in what is measured.
pub struct Meter {
    /// By this map of theirs the programs are known.
    map: u32,
    _enabled: OwnedFd,
}

impl Meter {
    /// Of this ftpfw's programs.
    ///
    /// # Errors
    /// When the kernel cannot.
    pub fn new(firewall: &Firewall) -> Result<Self> {
        let settings = MapData::from_pin(firewall.place().pins.join(maps::SETTINGS))?;
        Ok(Self {
            map: settings.info()?.id(),
            _enabled: enable_stats(Stats::RunTime)?,
        })
    }

    /// ns that each program has run so far.
    ///
    /// # Errors
    /// When one cannot be looked at.
    pub fn read(&self) -> Result<BTreeMap<String, f64>> {
        let mut times = BTreeMap::new();
        for program in loaded_programs() {
            // Somebody else's, gone since they were listed.
            let Ok(program) = program else { continue };
            let ids = program.map_ids().ok().flatten().unwrap_or_default();
            if ids.contains(&self.map) {
                let name = program.name_as_str().context("a program without a name")?;
                let time = program.run_time().as_secs_f64() * 1e9;
                *times.entry(name.to_owned()).or_default() += time;
            }
        }
        Ok(times)
    }

    /// ns that the followers run during `work`: both directions of control connections.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn followers(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let sum = |times: BTreeMap<String, f64>| {
            let of = |name| times.get(name).copied().unwrap_or(0.0);
            of("commands") + of("replies")
        };
        let before = sum(self.read()?);
        work()?;
        Ok(sum(self.read()?) - before)
    }
}

/// CPU time of the agent so far, seconds.
///
/// # Errors
/// When it has ended.
pub fn cpu_time(firewall: &Firewall) -> Result<f64> {
    let text = fs::read_to_string(process(firewall).join("stat"))?;
    // Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

/// Memory of the agent, bytes.
///
/// # Errors
/// When it has ended.
pub fn resident(firewall: &Firewall) -> Result<f64> {
    Ok(proc::resident(&process(firewall))? as f64 * 1024.0)
}

/// Memory that a map takes for each entry that it has room for, whole bytes: the map's own structure, 1 KiB, is
/// no entry's.
///
/// # Errors
/// When it is not there.
pub fn map_bytes(firewall: &Firewall, name: &str) -> Result<f64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let map = MapData::from_pin(firewall.place().pins.join(name))?;
    let fd = map.fd().as_fd().as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let bytes = proc::field(&text, "memlock:").context("no memlock")?;
    Ok((bytes / u64::from(map.info()?.max_entries())) as f64)
}

fn process(firewall: &Firewall) -> PathBuf {
    Path::new("/proc").join(firewall.pid().to_string())
}
