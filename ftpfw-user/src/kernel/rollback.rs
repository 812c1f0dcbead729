//! Undoing an attach that failed half-way.

use std::path::{Path, PathBuf};

use super::{PinDir, detach};

/// Remembers what this run put into the kernel and takes it out again unless it is told to keep it.
///
/// A filter on one of two interfaces, or a follower without a filter, is worse than none: it looks
/// like a firewall.
#[derive(Debug)]
pub struct Rollback {
    pins: PinDir,
    /// Nothing was pinned before: everything is to go.
    fresh: bool,
    made: Vec<PathBuf>,
}

impl Rollback {
    /// Starts remembering; to be called after the pin directory is locked and before it is filled.
    #[must_use]
    pub fn begin(pins: &PinDir) -> Self {
        Self {
            pins: pins.clone(),
            fresh: !pins.in_use(),
            made: Vec::new(),
        }
    }

    /// A link was pinned at `path`.
    pub(super) fn made(&mut self, path: &Path) {
        self.made.push(path.to_owned());
    }

    /// All went well: everything stays.
    pub fn keep(mut self) {
        self.fresh = false;
        self.made.clear();
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        for path in self.made.drain(..).rev() {
            if let Err(error) = detach::remove_link(&path) {
                tracing::error!("cannot take back {}: {error:#}", path.display());
            }
        }
        if self.fresh
            && let Err(error) = detach::everything(&self.pins)
        {
            tracing::error!("cannot take everything back: {error:#}; run `ftpfw detach`");
        }
    }
}
