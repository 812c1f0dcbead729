//! One control connection of the capture: its streams, and what the report will say of it.

use std::ops::Range;

use ftpfw_common::{
    abi::{
        event::{Cause, Direction},
        keys::SessionKey,
        values::Mode,
    },
    control::{Conclusion, Dialogue, State},
    reason::Refusal,
    stream::{Placement, Sequence, place},
};

use super::model::{CommandRow, NegotiationRow, Outcome, RefusalRow, SessionRow};
use crate::agent::{lines::Lines, text};

/// Segments ahead of a hole that are kept; a client's window of commands is never near this.
const AHEAD: usize = 256;

/// Where a session's streams begin, and whether it was met in the middle.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// Sequence number of the client's byte that comes next.
    pub client_next: Sequence,
    /// Sequence number of the server's byte that comes next.
    pub server_next: Sequence,
    /// The connection was there before anybody looked.
    pub adopted: bool,
    /// TLS from the first byte.
    pub opaque: bool,
}

/// Bytes of one direction.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Of the first byte.
    pub sequence: Sequence,
    /// As far as they were captured.
    pub bytes: Vec<u8>,
}

/// One control connection.
#[derive(Debug)]
pub struct Session {
    /// Its number, from 1.
    pub id: u64,
    /// Its two ends.
    pub key: SessionKey,
    /// What the server has acknowledged of the client's stream.
    acknowledged: Sequence,
    /// Ports of the tuples armed last; 0 for none.
    pub passive_port: u16,
    /// See above.
    pub active_port: u16,
    /// What the report says.
    pub row: SessionRow,
    /// The control connection has not ended.
    pub live: bool,
    engine: Dialogue,
    lines: [Lines; 2],
    /// The line that ended last in each direction, escaped.
    last: [String; 2],
    asked_user: Option<String>,
    /// Segments that came before the bytes in front of them did: the kernel drops them, and TCP
    /// sends them again once it is their turn.
    ahead: Vec<Chunk>,
}

impl Session {
    /// A session that begins at `at`, ns.
    #[must_use]
    pub fn new(id: u64, key: SessionKey, birth: &Birth, at: u64) -> Self {
        let mut engine = Dialogue::new(birth.adopted, false);
        engine.set_opaque(birth.opaque);
        // Without a byte: where the streams begin.
        engine.take(
            Direction::Client,
            birth.client_next,
            &[],
            &key.client,
            |_, _| {},
        );
        engine.take(
            Direction::Server,
            birth.server_next,
            &[],
            &key.client,
            |_, _| {},
        );
        Self {
            id,
            key,
            acknowledged: birth.client_next,
            passive_port: 0,
            active_port: 0,
            row: SessionRow::new(id, &key, birth.adopted, birth.opaque, at),
            live: true,
            engine,
            lines: Default::default(),
            last: Default::default(),
            asked_user: None,
            ahead: Vec::new(),
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn state(&self) -> State {
        self.engine.state()
    }

    /// The control connection ends: nothing is armed any more.
    pub fn end(&mut self) {
        self.engine.end();
    }

    /// The server acknowledged the client's stream up to `sequence`.
    pub fn acknowledge(&mut self, sequence: Sequence) {
        self.acknowledged = sequence;
        self.engine.acknowledge(sequence);
    }

    /// Sequence number of the byte that comes next.
    #[must_use]
    pub fn next(&self, direction: Direction) -> Sequence {
        self.engine.next(direction)
    }

    /// How a segment lies; one without a byte is in its place or not.
    #[must_use]
    pub fn place(&self, direction: Direction, chunk: &Chunk) -> Placement {
        let length = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
        place(self.next(direction), chunk.sequence, length)
    }

    /// Keeps a segment until the bytes in front of it come.
    pub fn keep(&mut self, chunk: Chunk) {
        if self.ahead.len() < AHEAD {
            self.ahead.push(chunk);
        }
    }

    /// The earliest segment that was kept, if its turn has come: nothing is missing in front of it
    /// or, as the server has acknowledged it, what is missing never comes.
    pub fn next_kept(&mut self) -> Option<Chunk> {
        let next = self.next(Direction::Client);
        let (index, _) = self
            .ahead
            .iter()
            .enumerate()
            .min_by_key(|(_, chunk)| chunk.sequence.since(next))?;
        let sequence = self.ahead[index].sequence;
        let given_up = !sequence.is_after(self.acknowledged);
        (given_up || sequence <= next).then(|| self.ahead.swap_remove(index))
    }

    /// Takes bytes; what the engine concludes from each line, with its text.
    pub fn take(
        &mut self,
        direction: Direction,
        chunk: &Chunk,
        at: u64,
    ) -> Vec<(Conclusion, String)> {
        if self.place(direction, chunk) == Placement::Hole {
            self.row.gaps += 1;
            self.lines[direction as usize].lose();
            // The kernel sees every byte; what this capture lost may be the login.
            if !self.state().has(State::LOGGED_IN) {
                self.engine.adopt();
                self.row.adopted = true;
            }
        }
        let mut concluded = Vec::new();
        self.engine.take(
            direction,
            chunk.sequence,
            &chunk.bytes,
            &self.key.client,
            |end, conclusion| concluded.push((end, conclusion)),
        );
        // Text up to each conclusion first, so that the line it stands in is the last one.
        let mut from = 0;
        let mut told = Vec::with_capacity(concluded.len());
        for (end, conclusion) in concluded {
            if conclusion == Conclusion::Plain {
                // What came before was TLS, in both directions.
                self.lines = Default::default();
                from = end - 1;
            }
            self.read(direction, chunk, from..end, at);
            from = end;
            told.push((conclusion, self.last[direction as usize].clone()));
        }
        if !self.state().has(State::OPAQUE) {
            self.read(direction, chunk, from..chunk.bytes.len(), at);
        }
        told
    }

    fn read(&mut self, direction: Direction, chunk: &Chunk, range: Range<usize>, at: u64) {
        let sequence = chunk
            .sequence
            .plus(u32::try_from(range.start).unwrap_or(u32::MAX));
        let last = &mut self.last[direction as usize];
        let (asked_user, commands) = (&mut self.asked_user, &mut self.row.commands);
        self.lines[direction as usize].take(
            sequence,
            &chunk.bytes[range],
            |line| match direction {
                Direction::Client => {
                    *last = text::command(line);
                    if let Some(user) = text::user(line) {
                        *asked_user = Some(user);
                    }
                    commands.push(CommandRow::new(at, last.clone()));
                }
                Direction::Server => *last = text::printable(line),
            },
        );
    }

    /// The login succeeded.
    pub fn logged_in(&mut self) {
        self.row.user.clone_from(&self.asked_user);
    }

    /// A negotiation armed a tuple.
    pub fn armed(&mut self, negotiation: NegotiationRow) {
        self.row.negotiations.push(negotiation);
    }

    /// A negotiation armed nothing.
    pub fn refused(&mut self, refusal: Refusal, line: String, at: u64) {
        self.row.refusals.push(RefusalRow::new(at, refusal, line));
    }

    /// The tuple that was armed last for `port` went.
    pub fn withdrawn(&mut self, mode: Mode, port: u16, cause: Cause, at: u64) {
        self.outcome(mode, port, Outcome::withdrawn(cause), at);
    }

    /// The tuple that was armed last for `port` was claimed.
    pub fn claimed(&mut self, mode: Mode, port: u16, at: u64) {
        self.outcome(mode, port, Outcome::CLAIMED, at);
        self.row.transfers += 1;
    }

    fn outcome(&mut self, mode: Mode, port: u16, outcome: Outcome, at: u64) {
        let mut rows = self.row.negotiations.iter_mut().rev();
        if let Some(row) = rows.find(|row| row.is_armed(mode, port)) {
            row.end(outcome, at);
        }
    }
}
