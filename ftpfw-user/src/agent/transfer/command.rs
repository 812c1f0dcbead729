//! Commands that use a data connection, and what became of one.

use super::{super::text, Direction};

/// RFC 959 §4.1.3, RFC 3659 §7.
const COMMANDS: [(&str, Direction); 7] = [
    ("RETR", Direction::Download),
    ("STOR", Direction::Upload),
    ("STOU", Direction::Upload),
    ("APPE", Direction::Upload),
    ("LIST", Direction::Download),
    ("NLST", Direction::Download),
    ("MLSD", Direction::Download),
];

/// The direction of a command's data connection; `None` if it has none.
pub(super) fn direction(verb: &[u8]) -> Option<Direction> {
    known(verb).map(|known| known.1)
}

fn known(verb: &[u8]) -> Option<(&'static str, Direction)> {
    let is_it = |known: &&(&str, Direction)| verb.eq_ignore_ascii_case(known.0.as_bytes());
    COMMANDS.iter().find(is_it).copied()
}

/// A command, and what the server has said to it.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) verb: &'static str,
    pub(super) direction: Direction,
    pub(super) path: Option<String>,
    /// How many bytes there will be, if the server has said so.
    pub(super) length: Option<u64>,
    /// 1xx has been said: what concludes is of this command, and of none before it.
    pub(super) begun: bool,
    pub(super) reply: Option<u16>,
}

impl Command {
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let verb = line.split(|byte| *byte == b' ').next()?;
        let (known, direction) = known(verb)?;
        let path = text::printable(line[verb.len()..].trim_ascii_start());
        Some(Self {
            verb: known,
            direction,
            path: (!path.is_empty()).then_some(path),
            length: None,
            begun: false,
            reply: None,
        })
    }

    /// Takes a reply: 1xx begins, and what is behind it concludes; without it only a refusal does.
    pub(super) const fn hear(&mut self, code: u16) {
        match code {
            100..=199 => self.begun = true,
            200..=399 if !self.begun => {}
            200..=599 if self.reply.is_none() => self.reply = Some(code),
            _ => {}
        }
    }

    /// The file that it downloads, other than a list.
    pub(super) fn file(&self) -> Option<&str> {
        self.path.as_deref().filter(|_| self.verb == "RETR")
    }
}
