//! How many bytes a download will have, where the session says so: in the answer to SIZE (RFC 3659 §4), or in
//! the text of 150, as many servers write it ("… for a.iso (12345 bytes).").
//!
//! A length is of one path in one directory, TYPE and MODE. Whatever may have changed one of these, and
//! whatever the agent has not seen, makes it unknown: no length is better than a wrong one.

use std::collections::VecDeque;

use super::{super::text, Direction, command::direction};

/// Commands of one session that wait for their reply, and answers to SIZE that are kept, at most.
const KEPT: usize = 16;

/// What a session has told about its files.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// Commands, and final replies, so far: the nth reply is to the nth command (RFC 959 §5.4).
    commands: u64,
    replies: u64,
    /// The code of the multi-line reply that is open.
    open: Option<u16>,
    /// Commands whose reply matters, each with how many were before it.
    asked: VecDeque<(u64, Question)>,
    /// Answers to SIZE, by path.
    sizes: VecDeque<(String, u64)>,
    /// Where the next RETR begins, if REST has said so.
    offset: u64,
    /// TYPE A: line ends may be longer on the wire than in the file.
    text: bool,
    /// MODE B or C: there is more, or less, on the wire than in the file.
    framed: bool,
    /// Something was not seen, or nobody can see it.
    unknowable: bool,
}

/// A command, by what its success means for lengths.
#[derive(Debug)]
enum Question {
    Size(String),
    Rest(u64),
    /// TYPE; whether it is text.
    Type(bool),
    /// MODE; whether it is other than S.
    Mode(bool),
    /// The same name may be another file from here on.
    Elsewhere,
    /// USER, REIN: everything begins anew.
    Anew,
    /// It uses the offset up; an upload makes another file of one.
    Transfer(Direction),
}

impl Question {
    fn read(line: &[u8]) -> Option<Self> {
        let mut words = line.trim_ascii().splitn(2, |byte| *byte == b' ');
        let verb = words.next()?.to_ascii_uppercase();
        let argument = words.next().unwrap_or_default().trim_ascii_start();
        let letter = argument.first().map(u8::to_ascii_uppercase);
        Some(match verb.as_slice() {
            b"SIZE" => Self::Size(text::printable(argument)),
            b"REST" => Self::Rest(number(argument)?),
            b"TYPE" => Self::Type(!matches!(letter, Some(b'I' | b'L'))),
            b"MODE" => Self::Mode(letter != Some(b'S')),
            b"CWD" | b"CDUP" | b"XCWD" | b"XCUP" | b"RNTO" | b"DELE" => Self::Elsewhere,
            b"USER" | b"REIN" => Self::Anew,
            verb => Self::Transfer(direction(verb)?),
        })
    }
}

impl Lengths {
    /// From here on nothing is known: bytes were lost, or are encrypted.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            unknowable: true,
            ..Self::default()
        };
    }

    /// A line of the client's.
    pub(super) fn command(&mut self, line: &[u8]) {
        if self.unknowable || line.trim_ascii().is_empty() {
            return;
        }
        let number = self.commands;
        self.commands += 1;
        match Question::read(line) {
            Some(_) if self.asked.len() == KEPT => self.give_up(),
            Some(question) => self.asked.push_back((number, question)),
            None => {}
        }
    }

    /// A line of the server's; its code, if it is a whole reply, or the last line of one (RFC 959 §4.2).
    pub(super) fn reply(&mut self, line: &[u8]) -> Option<u16> {
        let code = self.last_line(line)?;
        // 1xx completes nothing, and a greeting answers nobody.
        if code >= 200 && self.replies < self.commands {
            let number = self.replies;
            self.replies += 1;
            if let Some((_, question)) = self.asked.pop_front_if(|it| it.0 == number) {
                self.answered(question, code, &line[3..]);
            }
        }
        Some(code)
    }

    fn last_line(&mut self, line: &[u8]) -> Option<u16> {
        let (code, rest) = line.split_at_checked(3)?;
        let code = u16::try_from(number(code)?).ok()?;
        match (self.open, rest.first()) {
            (None, Some(b'-')) => {
                self.open = Some(code);
                None
            }
            (Some(open), _) if open != code => None,
            (_, None | Some(b' ')) => {
                self.open = None;
                Some(code)
            }
            _ => None,
        }
    }

    fn answered(&mut self, question: Question, code: u16, text: &[u8]) {
        match (question, code) {
            (Question::Size(path), 213) => {
                let size = number(text.trim_ascii());
                self.sizes.retain(|(known, _)| *known != path);
                self.sizes.extend(size.map(|size| (path, size)));
                if self.sizes.len() > KEPT {
                    self.sizes.pop_front();
                }
            }
            (Question::Rest(offset), 350) => self.offset = offset,
            (Question::Type(text), 200..=299) => {
                self.text = text;
                self.sizes.clear();
            }
            (Question::Mode(framed), 200..=299) => self.framed = framed,
            (Question::Elsewhere, 200..=299) => self.sizes.clear(),
            (Question::Anew, 200..=399) => {
                (self.text, self.framed, self.offset) = (false, false, 0);
                self.sizes.clear();
            }
            (Question::Transfer(direction), _) => {
                self.offset = 0;
                if direction == Direction::Upload {
                    self.sizes.clear();
                }
            }
            _ => {}
        }
    }

    /// How many bytes the RETR of `path` will send that `line`, a 1xx, begins.
    pub(super) fn of(&self, path: &str, line: &[u8]) -> Option<u64> {
        if self.unknowable || self.framed {
            return None;
        }
        let size = self.sizes.iter().find(|(known, _)| known == path);
        let size = size.map(|(_, size)| *size);
        match self.offset {
            // Of a transfer that begins in the middle, servers write the one or the other into 150.
            1.. if self.text => None,
            offset @ 1.. => size?.checked_sub(offset),
            // SIZE counts what would be sent (RFC 3659 §4), 150 what lies on the disk.
            0 if self.text => size,
            0 => in_parentheses(line).or(size),
        }
    }
}

/// The last `(12345 bytes)` of a line: one before it may be of the path.
fn in_parentheses(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (before, _) = line.rsplit_once(" bytes)")?;
    let (_, digits) = before.rsplit_once('(')?;
    number(digits.as_bytes())
}

/// A decimal number, and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
