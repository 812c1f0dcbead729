//! Transfers: which command a data connection was for, what went over it, and how it ended.
//!
//! The connection may be made before its command is said (passive) or after it (active); its end and the
//! reply that concludes it may come in any order too. A record is made when both are known, or when no more
//! will be.

mod command;
mod length;

use std::collections::VecDeque;

use ftpfw_common::abi::{event::Bytes, keys::SessionKey, values::Mode};

use crate::{kernel::clock::ms_between, query::journal::TransferRow};
use command::Command;
use length::Lengths;

/// Transfers of a session that are not concluded at most; the oldest is concluded as it is then.
const OPEN: usize = 16;

/// Where the bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server: STOR, STOU, APPE.
    Upload,
    /// To the client: RETR, and lists.
    Download,
}

impl Direction {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }

    /// That of the command, or else whichever way more bytes went.
    #[must_use]
    pub const fn of(command: Option<Self>, counted: Option<Bytes>) -> Option<Self> {
        match (command, counted) {
            (Some(direction), _) => Some(direction),
            (None, Some(it)) if it.received > it.acknowledged => Some(Self::Upload),
            (None, Some(_)) => Some(Self::Download),
            (None, None) => None,
        }
    }

    /// How many bytes went that way.
    #[must_use]
    pub const fn bytes(self, counted: Bytes) -> u64 {
        match self {
            Self::Upload => counted.received,
            Self::Download => counted.acknowledged,
        }
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server said so: 2xx.
    Complete,
    /// 426.
    Aborted,
    /// Any other 4xx or 5xx.
    Failed,
    /// No reply was seen: the session is encrypted, has ended, or went on without one.
    Unknown,
}

impl Ending {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    const fn of(reply: u16) -> Self {
        match reply {
            200..=299 => Self::Complete,
            426 => Self::Aborted,
            _ => Self::Failed,
        }
    }
}

/// One data connection, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its two ends.
    pub connection: SessionKey,
    /// How it came about.
    pub mode: Mode,
    /// Who was logged in; escaped.
    pub user: Option<String>,
    /// `RETR`, `LIST`, …; `None` if it was not seen.
    pub command: Option<&'static str>,
    /// What the command named, escaped; nothing for a LIST of the directory.
    pub path: Option<String>,
    /// Of the command; where that was not seen, whichever had more bytes.
    pub direction: Option<Direction>,
    /// In that direction; `None` where no socket of this host told.
    pub bytes: Option<u64>,
    /// From the handshake to the end; `None` if the handshake was not seen.
    pub duration_ms: Option<u64>,
    /// How it ended.
    pub ending: Ending,
    /// The server's last word on it.
    pub reply: Option<u16>,
}

impl Transfer {
    /// As queries and the file of transfers show it.
    #[must_use]
    pub fn row(&self) -> TransferRow {
        TransferRow {
            command: self.command.map(str::to_owned),
            path: self.path.clone(),
            direction: self.direction.map(|it| it.name().to_owned()),
            bytes: self.bytes,
            duration_ms: self.duration_ms,
            bytes_per_second: self.rate(),
            ended: self.ending.name().to_owned(),
            reply: self.reply,
        }
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        let ms = self.duration_ms?.max(1);
        Some(self.bytes?.saturating_mul(1000) / ms)
    }
}

/// What is known of a data connection that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Who is logged in; escaped.
    pub user: Option<String>,
    /// As in [`Transfer`].
    pub command: Option<&'static str>,
    /// As in [`Transfer`].
    pub path: Option<String>,
    /// Of the command.
    pub direction: Option<Direction>,
    /// How many bytes it will have, if the server has said so.
    pub length: Option<u64>,
}

/// A data connection that is not concluded.
#[derive(Clone, Debug)]
pub(super) struct Open {
    connection: SessionKey,
    mode: Mode,
    /// ns of `CLOCK_MONOTONIC`.
    since: Option<u64>,
    command: Option<Command>,
    /// When it ended, and what had gone over it.
    ended: Option<(u64, Option<Bytes>)>,
}

impl Open {
    /// A data connection that was made at `since`.
    pub(super) const fn new(connection: SessionKey, mode: Mode, since: Option<u64>) -> Self {
        Self {
            connection,
            mode,
            since,
            command: None,
            ended: None,
        }
    }

    /// Whether it is the one with these ends, and goes on.
    pub(super) fn is(&self, connection: &SessionKey) -> bool {
        self.connection == *connection && self.ended.is_none()
    }

    pub(super) const fn end(&mut self, at: u64, bytes: Option<Bytes>) {
        self.ended = Some((at, bytes));
    }

    const fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    fn reply(&self) -> Option<u16> {
        self.command.as_ref()?.reply
    }

    /// Its two ends, and what is known of it, if it goes on.
    pub(super) fn running(&self, user: Option<&String>) -> Option<(SessionKey, Running)> {
        let command = self.command.as_ref();
        let running = || Running {
            user: user.cloned(),
            command: command.map(|it| it.verb),
            path: command.and_then(|it| it.path.clone()),
            direction: command.map(|it| it.direction),
            length: command.and_then(|it| it.length),
        };
        (!self.is_over()).then(|| (self.connection, running()))
    }

    /// What has become of it.
    pub(super) fn conclude(self, user: Option<String>) -> Transfer {
        let reply = self.reply();
        let (at, counted) = self.ended.unzip();
        let counted = counted.flatten();
        let command = self.command;
        let direction = command.as_ref().map(|it| it.direction);
        let direction = Direction::of(direction, counted);
        Transfer {
            connection: self.connection,
            mode: self.mode,
            user,
            command: command.as_ref().map(|it| it.verb),
            path: command.and_then(|it| it.path),
            direction,
            bytes: direction
                .zip(counted)
                .map(|(it, counted)| it.bytes(counted)),
            duration_ms: self.since.zip(at).map(|(since, at)| ms_between(since, at)),
            ending: reply.map_or(Ending::Unknown, Ending::of),
            reply,
        }
    }
}

/// The transfers of one session.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    /// A command whose connection has not been made.
    waiting: Option<Command>,
    open: VecDeque<Open>,
    lengths: Lengths,
}

impl Transfers {
    /// A line of the client's: the command of the connection that has none, or of the next one.
    pub(super) fn command(&mut self, line: &[u8]) {
        self.lengths.command(line);
        let Some(command) = Command::read(line) else {
            return;
        };
        match self.open.back_mut() {
            // One that was refused before it began gives way: a server may keep its listener.
            Some(open) if !open.is_over() && open.command.as_ref().is_none_or(|it| !it.begun) => {
                open.command = Some(command);
            }
            _ => self.waiting = Some(command),
        }
    }

    /// A line of the server's.
    pub(super) fn reply(&mut self, line: &[u8]) {
        let Some(code) = self.lengths.reply(line) else {
            return;
        };
        let commands = self.open.iter_mut().filter_map(|it| it.command.as_mut());
        let mut commands = commands.chain(self.waiting.as_mut());
        if let Some(command) = commands.find(|it| it.reply.is_none()) {
            command.hear(code);
            if code < 200 {
                let path = command.file();
                command.length = path.and_then(|path| self.lengths.of(path, line));
            }
        }
    }

    /// Lines were lost, or can be read no more: no length is known from here on.
    pub(super) fn doubt(&mut self) {
        self.lengths.give_up();
    }

    /// Those that go on.
    pub(super) fn running(
        &self,
        user: Option<&String>,
    ) -> impl Iterator<Item = (SessionKey, Running)> {
        self.open.iter().filter_map(move |open| open.running(user))
    }

    /// A data connection is made.
    pub(super) fn claimed(&mut self, connection: SessionKey, mode: Mode, at: u64) {
        let mut open = Open::new(connection, mode, Some(at));
        open.command = self.waiting.take().filter(|it| it.reply.is_none());
        self.open.push_back(open);
    }

    /// A data connection is over; `false` if it is none of these.
    pub(super) fn finished(
        &mut self,
        connection: &SessionKey,
        at: u64,
        bytes: Option<Bytes>,
    ) -> bool {
        let mut open = self.open.iter_mut();
        match open.find(|it| it.is(connection)) {
            Some(open) => {
                open.end(at, bytes);
                true
            }
            None => false,
        }
    }

    /// Takes out what is concluded: over, and replied to or (`silent`: nobody can read the replies) not.
    /// What is over gives way to a later one.
    pub(super) fn concluded(&mut self, silent: bool) -> Vec<Open> {
        let mut concluded = Vec::new();
        let mut kept = VecDeque::new();
        let last = self.open.len().saturating_sub(1);
        for (nth, open) in self.open.drain(..).enumerate() {
            let done = silent || open.reply().is_some() || nth < last;
            match open.is_over() && done {
                true => concluded.push(open),
                false => kept.push_back(open),
            }
        }
        while kept.len() > OPEN {
            concluded.extend(kept.pop_front());
        }
        self.open = kept;
        concluded
    }

    /// The session is over: what is concluded, and what goes on without it.
    pub(super) fn close(&mut self) -> (Vec<Open>, Vec<Open>) {
        self.open.drain(..).partition(Open::is_over)
    }
}

#[cfg(test)]
mod tests;
