//! Undoing an attach that failed half-way.

use std::path::{Path, PathBuf};

use ftpfw_common::abi::policy::Settings;

use super::{
    Maps, PinDir, Wire, detach,
    pins::{AttachedMode, PinnedInterface},
};

/// Remembers what this run put into the kernel and takes it out again unless it is told to keep it.
///
/// A filter on one of two interfaces, or a follower without a filter, is worse than none: it looks
/// like a firewall.
#[derive(Debug)]
pub struct Rollback {
    pins: PinDir,
    /// Nothing was pinned before: everything is to go.
    fresh: bool,
    /// What was in force before, and is to be again.
    policy: Option<Policy>,
    /// So are these.
    interfaces: Vec<PinnedInterface>,
    made: Vec<PathBuf>,
}

/// What a run writes into maps that it adopts.
#[derive(Debug)]
struct Policy {
    maps: Maps,
    settings: Settings,
    /// By port.
    ports: Vec<u32>,
}

impl Policy {
    /// Of the maps under `pins`.
    fn of(pins: &PinDir) -> anyhow::Result<Self> {
        let maps = Maps::open(pins)?;
        let Wire(settings) = maps.settings()?.get(&0, 0)?;
        let ports = maps.ports()?;
        let ports = (0..=u16::MAX).map(|port| ports.get(port).policy());
        Ok(Self {
            ports: ports.collect(),
            settings,
            maps,
        })
    }

    fn restore(&self) -> anyhow::Result<()> {
        self.maps.settings()?.set(0, Wire(self.settings), 0)?;
        self.maps.ports()?.set_policy(&self.ports);
        Ok(())
    }
}

impl Rollback {
    /// Starts remembering; to be called after the pin directory is locked and before it is filled.
    #[must_use]
    pub fn begin(pins: &PinDir) -> Self {
        let fresh = !pins.in_use();
        Self {
            pins: pins.clone(),
            fresh,
            // What cannot be read is refused before anything is written.
            policy: (!fresh).then(|| Policy::of(pins).ok()).flatten(),
            interfaces: pins.interfaces().unwrap_or_default(),
            made: Vec::new(),
        }
    }

    /// A link was pinned at `path`.
    pub(super) fn made(&mut self, path: &Path) {
        self.made.push(path.to_owned());
    }

    /// Where the filter of an interface ran before; `None` without one.
    pub(super) fn mode_before(&self, interface: u32) -> Option<AttachedMode> {
        let before = self.interfaces.iter().find(|it| it.index == interface);
        before.and_then(|it| it.mode)
    }

    /// The links in this directory stay, whoever made them.
    pub(super) fn keep_those_in(&mut self, directory: &Path) {
        self.made.retain(|path| path.parent() != Some(directory));
    }

    /// Removes the links that were made so far.
    pub(super) fn take_back(&mut self) {
        for path in self.made.drain(..).rev() {
            if let Err(error) = detach::remove_link(&path) {
                tracing::error!("cannot take back {}: {error:#}", path.display());
            }
        }
    }

    /// All went well: everything stays.
    pub fn keep(mut self) {
        self.fresh = false;
        self.policy = None;
        self.made.clear();
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        self.take_back();
        if let Some(policy) = &self.policy
            && let Err(error) = policy.restore()
        {
            tracing::error!("cannot bring back the policy of the agent before: {error:#}");
        }
        if self.fresh
            && let Err(error) = detach::everything(&self.pins)
        {
            tracing::error!("cannot take everything back: {error:#}; run `ftpfw detach`");
        }
    }
}
