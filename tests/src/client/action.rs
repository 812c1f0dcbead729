//! What a client does.

/// What to transfer, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// LIST of the root.
    List,
    /// RETR of a file.
    Download(&'a str),
    /// STOR of these bytes under this name.
    Upload(&'a str, &'a [u8]),
    /// REST and RETR of a file that begins with these bytes, which are here already.
    Resume(&'a str, &'a [u8]),
    /// RETR of a file of that size, in [`SEGMENTS`](super::SEGMENTS) parts side by side, each with its own control
    /// connection.
    Segments(&'a str, usize),
    /// RETR of the first file, which is large, ABOR in the middle of it, RETR of the second.
    Abort(&'a str, &'a str),
}

impl Action<'_> {
    /// What kind of action it is.
    #[must_use]
    pub fn deed(&self) -> Deed {
        match self {
            Self::List => Deed::List,
            Self::Download(_) => Deed::Download,
            Self::Upload(..) => Deed::Upload,
            Self::Resume(..) => Deed::Resume,
            Self::Segments(..) => Deed::Segments,
            Self::Abort(..) => Deed::Abort,
        }
    }
}

/// The kinds of [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// [`Action::List`].
    List,
    /// [`Action::Download`].
    Download,
    /// [`Action::Upload`].
    Upload,
    /// [`Action::Resume`].
    Resume,
    /// [`Action::Segments`].
    Segments,
    /// [`Action::Abort`].
    Abort,
}

impl Deed {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::List,
        Self::Download,
        Self::Upload,
        Self::Resume,
        Self::Segments,
        Self::Abort,
    ];

    /// A word for messages and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Resume => "resume",
            Self::Segments => "segments",
            Self::Abort => "abort",
        }
    }
}
