//! Transfers: which command a data connection was for, what went over it, and how it ended.
//!
//! The connection may be made before its command is said (passive) or after it (active); its end and the
//! reply that concludes it may come in any order too. A record is made when both are known, or when no more
//! will be.

use std::collections::VecDeque;

use ftpfw_common::abi::{event::Bytes, keys::SessionKey, values::Mode};

use super::text;
use crate::{kernel::clock::ms_between, query::journal::TransferRow};

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

/// Commands that use a data connection (RFC 959 §4.1.3, RFC 3659 §7).
const COMMANDS: [(&str, Direction); 7] = [
    ("RETR", Direction::Download),
    ("STOR", Direction::Upload),
    ("STOU", Direction::Upload),
    ("APPE", Direction::Upload),
    ("LIST", Direction::Download),
    ("NLST", Direction::Download),
    ("MLSD", Direction::Download),
];

#[derive(Clone, Debug)]
struct Command {
    verb: &'static str,
    direction: Direction,
    path: Option<String>,
    /// 1xx has been said: what concludes is of this command, and of none before it.
    begun: bool,
    reply: Option<u16>,
}

impl Command {
    fn read(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let verb = line.split(|byte| *byte == b' ').next()?;
        let known = |known: &&(&str, Direction)| verb.eq_ignore_ascii_case(known.0.as_bytes());
        let (known, direction) = *COMMANDS.iter().find(known)?;
        let path = text::printable(line[verb.len()..].trim_ascii_start());
        Some(Self {
            verb: known,
            direction,
            path: (!path.is_empty()).then_some(path),
            begun: false,
            reply: None,
        })
    }

    /// Takes a reply: 1xx begins, and what is behind it concludes; without it only a refusal does.
    const fn hear(&mut self, code: u16) {
        match code {
            100..=199 => self.begun = true,
            200..=399 if !self.begun => {}
            200..=599 if self.reply.is_none() => self.reply = Some(code),
            _ => {}
        }
    }
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

    /// What has become of it.
    pub(super) fn conclude(self, user: Option<String>) -> Transfer {
        let reply = self.reply();
        let (at, counted) = self.ended.unzip();
        let counted = counted.flatten();
        let command = self.command;
        let direction = match (&command, counted) {
            (Some(command), _) => Some(command.direction),
            (None, Some(it)) if it.received > it.acknowledged => Some(Direction::Upload),
            (None, Some(_)) => Some(Direction::Download),
            (None, None) => None,
        };
        let bytes = counted
            .zip(direction)
            .map(|(it, direction)| match direction {
                Direction::Upload => it.received,
                Direction::Download => it.acknowledged,
            });
        Transfer {
            connection: self.connection,
            mode: self.mode,
            user,
            command: command.as_ref().map(|it| it.verb),
            path: command.and_then(|it| it.path),
            direction,
            bytes,
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
}

impl Transfers {
    /// A line of the client's: the command of the connection that has none, or of the next one.
    pub(super) fn command(&mut self, line: &[u8]) {
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
        let Some(code) = final_code(line) else { return };
        let commands = self.open.iter_mut().filter_map(|it| it.command.as_mut());
        let mut commands = commands.chain(self.waiting.as_mut());
        if let Some(command) = commands.find(|it| it.reply.is_none()) {
            command.hear(code);
        }
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

/// The code of a line that is a whole reply, or the last of one (RFC 959 §4.2).
fn final_code(line: &[u8]) -> Option<u16> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(rest.first(), None | Some(b' ')) {
        return None;
    }
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use ftpfw_common::Address;

    use super::*;

    fn connection(port: u16) -> SessionKey {
        SessionKey {
            client: Address::v4([10, 0, 0, 2]),
            server: Address::v4([10, 0, 0, 1]),
            client_port: port,
            server_port: 50_001,
        }
    }

    const COUNTED: Option<Bytes> = Some(Bytes {
        received: 7,
        acknowledged: 3000,
    });

    /// Steps: `+` a connection is made, `-` it ends, a command, a reply; what is concluded after them.
    fn play(steps: &[&str]) -> Vec<Transfer> {
        let mut transfers = Transfers::default();
        let mut concluded = Vec::new();
        let mut port = 40_000;
        for step in steps {
            match *step {
                "+" => {
                    port += 1;
                    transfers.claimed(connection(port), Mode::Passive, 1_000_000_000);
                }
                "-" => assert!(transfers.finished(&connection(port), 3_000_000_000, COUNTED)),
                reply if reply.as_bytes()[0].is_ascii_digit() => transfers.reply(reply.as_bytes()),
                command => transfers.command(command.as_bytes()),
            }
            concluded.extend(transfers.concluded(false));
        }
        concluded.into_iter().map(|it| it.conclude(None)).collect()
    }

    #[test]
    fn a_transfer_is_known_in_whatever_order_it_is_told() {
        for steps in [
            &["+", "RETR a b.txt", "150 ok", "-", "226 done"][..],
            &["+", "RETR a b.txt", "150 ok", "226 done", "-"],
            &["RETR a b.txt", "150 ok", "+", "-", "226 done"],
            &[
                "RETR a b.txt",
                "+",
                "150-more",
                "150 ok",
                "226-a",
                "-",
                "226 done",
            ],
            &[
                "200 before",
                "+",
                "retr a b.txt",
                "200 late",
                "150 ok",
                "-",
                "226 done",
            ],
        ] {
            let done = play(steps);
            assert_eq!(done.len(), 1, "{steps:?}: {done:?}");
            let it = &done[0];
            assert_eq!(
                (it.command, it.path.as_deref()),
                (Some("RETR"), Some("a b.txt"))
            );
            assert_eq!(
                (it.ending, it.reply),
                (Ending::Complete, Some(226)),
                "{steps:?}"
            );
            assert_eq!((it.bytes, it.duration_ms), (Some(3000), Some(2000)));
            assert_eq!(it.rate(), Some(1500));
        }
    }

    #[test]
    fn uploads_aborts_and_failures_are_told_apart() {
        let upload = &play(&["+", "STOR x", "150 ok", "-", "226 done"])[0];
        assert_eq!(
            (upload.direction, upload.bytes),
            (Some(Direction::Upload), Some(7))
        );
        let aborted = &play(&["+", "RETR x", "150 ok", "-", "426 aborted", "226 ok"])[0];
        assert_eq!(
            (aborted.ending, aborted.reply),
            (Ending::Aborted, Some(426))
        );
        let failed = &play(&["+", "RETR x", "550 no such file", "-"])[0];
        assert_eq!(failed.ending, Ending::Failed);
        let list = &play(&["+", "LIST", "150 ok", "-", "226 done"])[0];
        assert_eq!((list.command, list.path.as_deref()), (Some("LIST"), None));
    }

    #[test]
    fn nothing_is_concluded_too_early_or_taken_from_another() {
        assert_eq!(play(&["+", "RETR x", "150 ok", "226 done"]), []);
        assert_eq!(play(&["+", "RETR x", "150 ok", "-"]), []);
        // The second one's command is not the first one's, which was never answered.
        let done = play(&[
            "+", "RETR a", "150 ok", "-", "RETR b", "+", "150 ok", "-", "226 b",
        ]);
        let told: Vec<_> = done
            .iter()
            .map(|it| (it.path.as_deref(), it.reply))
            .collect();
        assert_eq!(told[0].0, Some("a"));
        // A command that no connection came of is none of the next one's.
        let done = play(&["RETR gone", "550 no", "+", "RETR b", "150 ok", "-", "226 b"]);
        assert_eq!(done[0].path.as_deref(), Some("b"));
    }

    #[test]
    fn paths_are_escaped_and_other_commands_are_none() {
        let command = Command::read(b"STOR a\x1b[2J\xff").unwrap();
        assert_eq!(command.path.as_deref(), Some("a\\u{1b}[2J\u{fffd}"));
        for line in [&b"PASS secret"[..], b"RETRY x", b"", b"SITE RETR x"] {
            assert!(Command::read(line).is_none(), "{line:?}");
        }
    }
}
