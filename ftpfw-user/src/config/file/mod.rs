//! The configuration file: what is written in it, checked, and where what is wrong stands.
//!
//! A table with further keys (`[limits]`, say) is one more struct in [`keys`] and one more field of
//! [`Keys`].

mod keys;
mod written;

use std::{
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use self::keys::PlaceKeys;
pub(super) use keys::values;
pub use keys::{Keys, Timeouts};
pub use written::Written;

use crate::cli::Place;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, both from 1 on, the column in characters; `None` where it is about the whole
    /// file.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what to write.
    pub message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.position {
            Some((line, column)) => write!(f, "{path}:{line}:{column}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for FileError {}

/// Something wrong at a place of the text, in bytes.
#[derive(Debug)]
struct Misplaced {
    at: Range<usize>,
    message: String,
}

/// A file that is right in itself.
#[derive(Clone, Debug, Default)]
pub struct File {
    text: String,
    /// What it says.
    pub keys: Keys,
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = read(path)?;
        let keys = Keys::parse(&text).map_err(|misplaced| misplaced.of(path, &text))?;
        Ok(Self { text, keys })
    }

    /// The names of the interfaces, each with its line and column.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, (usize, usize))> {
        let names = self.keys.interface_names();
        names.map(|(name, at)| (name, position(&self.text, at)))
    }
}

/// Which ftpfw a file is for. What else it says is of no matter, and may be wrong.
///
/// # Errors
///
/// When it cannot be read, is no TOML, or one of the two paths is none.
pub fn place(path: &Path) -> Result<Place, FileError> {
    let text = read(path)?;
    let keys = parse::<PlaceKeys>(&text).map_err(|misplaced| misplaced.of(path, &text))?;
    Ok(keys.place())
}

fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|error| FileError {
        path: path.to_owned(),
        position: None,
        message: format!("cannot read the file: {error}"),
    })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Misplaced> {
    toml::from_str(text).map_err(|error| Misplaced {
        at: error.span().unwrap_or(0..0),
        message: one_line(error.message()),
    })
}

impl Misplaced {
    fn of(self, path: &Path, text: &str) -> FileError {
        FileError {
            path: path.to_owned(),
            position: Some(position(text, self.at.start)),
            message: self.message,
        }
    }
}

impl Keys {
    fn parse(text: &str) -> Result<Self, Misplaced> {
        let keys: Self = parse(text)?;
        keys.check()?;
        Ok(keys)
    }
}

/// Words of the parser's, and ours.
const WORDS: [(&str, &str); 3] = [
    ("unknown field", "unknown key"),
    ("a sequence", "a list in square brackets"),
    ("a boolean", "true or false"),
];

/// The parser's message in our words, on one line.
fn one_line(message: &str) -> String {
    let lines: Vec<_> = message.lines().map(str::trim).collect();
    WORDS.iter().fold(lines.join("; "), |text, (theirs, ours)| {
        text.replace(theirs, ours)
    })
}

/// Line and column of a byte of `text`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The position and the message for a text that is wrong.
    fn wrong(text: &str) -> (usize, usize, String) {
        let Misplaced { at, message } = Keys::parse(text).expect_err(text);
        let (line, column) = position(text, at.start);
        (line, column, message)
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, line, column, says) in [
            ("open_port = []", 1, 1, "unknown key `open_port`"),
            ("\n[timeouts]\ntupel = \"1s\"", 3, 1, "unknown key `tupel`"),
            ("[limit]", 1, 2, "unknown key `limit`"),
            ("udp = \"maybe\"", 1, 7, "write \"drop\" or \"pass\""),
            ("udp = true", 1, 7, "expected \"drop\" or \"pass\""),
            ("dry_run = \"yes\"", 1, 11, "expected true or false"),
            ("protect = \"1024-65535\"", 1, 11, "expected a list"),
            ("protect = [\"9-5\"]", 1, 12, "9 is greater than 5"),
            (
                "control_ports = [21, 70000]",
                1,
                22,
                "write a port, 1 to 65535",
            ),
            ("control_ports = [21, 0]", 1, 22, "write a port, 1 to 65535"),
            (
                "open_ports = [\n  \"80/tcp\",\n  \"é\", \"81/x\",\n]",
                3,
                3,
                "is not a port",
            ),
            (
                "open_ports = [\n  \"8080/icmp\"]",
                2,
                3,
                "neither tcp nor udp",
            ),
            ("interfaces = [\"eth0\", \"eth0:tc\"]", 1, 23, "twice"),
            ("interfaces = [\"eth0:fast\"]", 1, 15, "\"eth1:tc\""),
            ("interfaces = \"eth0\"", 1, 14, "expected a list"),
            ("pin_dir = \"ftpfw\"", 1, 11, "an absolute path"),
            ("metrics = \"localhost\"", 1, 11, "\"127.0.0.1:9100\""),
            ("metrics = 9100", 1, 11, "an address with a port"),
            (
                "[timeouts]\ntuple = 120",
                2,
                9,
                "write a time with its unit",
            ),
            ("[timeouts]\ntuple = \"0s\"", 2, 9, "at least 1s"),
            ("passive_ports = \"auto\"", 1, 17, "ftps = \"range\""),
            ("ftps = \"range\"", 1, 8, "passive_ports"),
            ("implicit_tls_ports = [990, 21]", 1, 28, "can only be one"),
            ("udp = \"drop\"\nudp = \"pass\"", 2, 1, "duplicate key"),
            ("udp = [", 1, 8, "unclosed array"),
        ] {
            let (at_line, at_column, message) = wrong(text);
            assert!(message.contains(says), "{text}: {message}");
            assert_eq!((at_line, at_column), (line, column), "{text}: {message}");
        }
    }

    #[test]
    fn columns_are_counted_in_characters() {
        assert_eq!(position("é = 1\né x", 9), (2, 2));
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\n", 2), (2, 1));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        let keys = Keys::parse("# nothing\n").expect("no key is needed");
        assert!(keys.interfaces.is_none());
    }
}
