//! What lies under the pin directory, and that it is there for one `run` at a time.
//!
//! ```text
//! PIN_DIR/PORTS, ARMED, …                    maps
//! PIN_DIR/links/sockets, forks, …            links of the tracepoints
//! PIN_DIR/links/2-eth0/xdp-native            link of the filter on eth0, interface 2
//! PIN_DIR/links/2-eth0/tcx-egress            links of the follower
//! PIN_DIR/links/3-eth1/tcx-guard             link of filter and follower, in mode tc
//! ```
//!
//! A bpffs reserves the dot in names, an interface (`eth0.100`) does not: it is written `%2e`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::maps::PINNED;

/// Mode of the pin directory: tuples name clients, and whoever can open a map can change it.
const MODE: u32 = 0o700;

/// The pin directory of one ftpfw. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir(PathBuf);

/// Where the filter of an interface runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// As XDP, but in the network stack.
    Generic,
    /// At TC ingress.
    Tc,
}

impl AttachedMode {
    /// The name used in JSON, tables and pins.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

/// An interface that has pinned links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedInterface {
    /// Its index.
    pub index: u32,
    /// Its name when it was attached to.
    pub name: String,
    /// Where its links are pinned.
    pub links: PathBuf,
    /// Where the filter runs; `None` when its link is not there: a half-made or half-removed state.
    pub mode: Option<AttachedMode>,
}

impl PinDir {
    /// The directory at `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the map `name` is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where the link of a tracepoint's program is pinned.
    #[must_use]
    pub fn tracepoint_link(&self, program: &str) -> PathBuf {
        self.links().join(program)
    }

    /// Where the link of an agent that takes over is pinned, for the moment until it has the place of
    /// the old one.
    #[must_use]
    pub fn new_tracepoint_link(&self, program: &str) -> PathBuf {
        self.links().join(format!("{program}-new"))
    }

    /// Where the links of an interface are pinned.
    #[must_use]
    pub fn interface(&self, index: u32, name: &str) -> PathBuf {
        let name = name.replace('%', "%25").replace('.', "%2e");
        self.links().join(format!("{index}-{name}"))
    }

    /// The interface whose links are pinned here has another name.
    ///
    /// # Errors
    ///
    /// Those of rename, with the path.
    pub fn rename(&self, pinned: &PinnedInterface, name: &str) -> anyhow::Result<()> {
        fs::rename(&pinned.links, self.interface(pinned.index, name))
            .with_context(|| format!("cannot rename {}", pinned.links.display()))
    }

    fn links(&self) -> PathBuf {
        self.0.join("links")
    }

    /// Whether maps or links are pinned here, be it only some of them.
    #[must_use]
    pub fn in_use(&self) -> bool {
        PINNED.iter().any(|name| self.map(name).exists()) || self.has_links()
    }

    /// The first map that is not pinned here.
    #[must_use]
    pub fn missing_map(&self) -> Option<&'static str> {
        PINNED.into_iter().find(|name| !self.map(name).exists())
    }

    /// Whether links are pinned here: something is, or was, attached. Directories that an agent made
    /// for them before it died are none.
    #[must_use]
    pub fn has_links(&self) -> bool {
        let mut entries = list(&self.links()).unwrap_or_default().into_iter();
        entries.any(|path| !path.is_dir() || list(&path).is_ok_and(|links| !links.is_empty()))
    }

    /// Makes the directory, readable by its owner only.
    ///
    /// # Errors
    ///
    /// Those of mkdir, with the path.
    pub fn create(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(MODE)
            .create(&self.0)
            .with_context(|| format!("cannot make the pin directory {}", self.0.display()))
    }

    /// The interfaces that have links here, by index.
    ///
    /// # Errors
    ///
    /// When the directory is there and cannot be read.
    pub fn interfaces(&self) -> anyhow::Result<Vec<PinnedInterface>> {
        let links = list(&self.links()).with_context(|| {
            let path = self.0.display();
            format!("the pin directory {path} cannot be used")
        })?;
        let mut found: Vec<_> = links
            .into_iter()
            .filter_map(PinnedInterface::read)
            .collect();
        found.sort_by_key(|interface| interface.index);
        Ok(found)
    }

    /// Removes the directories, as far as they are empty: what is not ours stays, and they with it.
    pub(super) fn remove_directories(&self) {
        for directory in [self.links(), self.0.clone()] {
            if let Err(error) = fs::remove_dir(&directory) {
                tracing::debug!("{} stays: {error}", directory.display());
            }
        }
    }
}

impl PinnedInterface {
    fn read(links: PathBuf) -> Option<Self> {
        let (index, name) = links.file_name()?.to_str()?.split_once('-')?;
        let pins = list(&links).ok()?;
        let names = || pins.iter().filter_map(|pin| pin.file_name()?.to_str());
        let mode = [
            AttachedMode::Native,
            AttachedMode::Generic,
            AttachedMode::Tc,
        ]
        .into_iter()
        .find(|mode| names().any(|name| filter_of(name) == Some(*mode)));
        Some(Self {
            index: index.parse().ok()?,
            name: name.replace("%2e", ".").replace("%25", "%"),
            mode,
            links,
        })
    }
}

/// Name of the pinned link of the filter in a mode of XDP.
#[must_use]
pub fn xdp_link(mode: AttachedMode) -> String {
    format!("xdp-{}", mode.name())
}

/// The mode of the filter that the pin `name` stands for; `None` for a pin of the follower.
#[must_use]
pub fn filter_of(name: &str) -> Option<AttachedMode> {
    match name.split('-').collect::<Vec<_>>()[..] {
        ["xdp", "native"] => Some(AttachedMode::Native),
        ["xdp", "generic"] => Some(AttachedMode::Generic),
        ["tcx" | "tc", "guard", ..] => Some(AttachedMode::Tc),
        _ => None,
    }
}

/// The entries of a directory; none where there is no directory.
pub(super) fn list(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    Ok(entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_survive_the_bpffs() {
        let pins = PinDir::new(PathBuf::from("/pins"));
        for name in ["eth0", "eth0.100", "a%2eb", "br-lan", "%"] {
            let path = pins.interface(7, name);
            assert!(
                !path.file_name().unwrap().to_str().unwrap().contains('.'),
                "{name}"
            );
            let read = PinnedInterface::read(path).expect(name);
            assert_eq!((read.index, read.name.as_str()), (7, name));
        }
    }

    #[test]
    fn the_name_of_a_pin_tells_whether_it_filters() {
        for (name, mode) in [
            ("xdp-native", Some(AttachedMode::Native)),
            ("xdp-generic", Some(AttachedMode::Generic)),
            ("tcx-guard", Some(AttachedMode::Tc)),
            ("tc-guard-49152-1", Some(AttachedMode::Tc)),
            ("tcx-ingress", None),
            ("tc-egress-49152-1", None),
        ] {
            assert_eq!(filter_of(name), mode, "{name}");
        }
    }

    #[test]
    fn the_tracepoint_is_no_interface() {
        assert_eq!(
            PinnedInterface::read(PathBuf::from("/pins/links/sockets")),
            None
        );
    }
}
