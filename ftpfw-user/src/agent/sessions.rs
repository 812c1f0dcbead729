//! The control connections that the agent follows.

use std::collections::{HashMap, VecDeque};

use ftpfw_common::{
    abi::{
        self,
        event::{Direction, EventHeader, opened},
        keys::SessionKey,
    },
    control::{Conclusion, Dialogue, Rewound, State},
    reason::Refusal,
    stream::Sequence,
};

use super::{
    agreement::Agreement, history::History, lines::Lines, stream::Record, text, transfer::Transfers,
};
use crate::{kernel::clock::ms_between, query::model::SessionRow};

/// Refusals whose event has not come yet: more than a segment of commands can hold is not kept.
const REFUSALS: usize = 32;

/// One control connection.
#[derive(Debug)]
pub struct Session {
    /// Its number.
    pub id: u64,
    /// Its two ends.
    pub key: SessionKey,
    /// ns of `CLOCK_MONOTONIC`.
    pub born_at: u64,
    /// Met in the middle.
    pub adopted: bool,
    /// The daemon is behind this host, in a container.
    pub forwarded: bool,
    /// Who is logged in; escaped.
    pub user: Option<String>,
    /// Escaped, secrets masked.
    pub last_command: Option<String>,
    /// Data connections that were established.
    pub transfers: u64,
    /// Bytes of commands and of replies.
    pub bytes: [u64; 2],
    /// What its data connections are for.
    pub(super) data: Transfers,
    engine: Dialogue,
    agreement: Agreement,
    /// What the client said lately.
    history: History,
    lines: [Lines; 2],
    /// The name in the last USER.
    asked_user: Option<String>,
    /// The last whole line of the server, and the one that last tried to negotiate.
    last_reply: Option<String>,
    negotiation: Option<String>,
    refusals: VecDeque<(Refusal, String)>,
}

impl Session {
    /// A session as its first event tells it; `partial` as in [`Dialogue::new`].
    #[must_use]
    pub fn new(id: u64, key: SessionKey, born_at: u64, adopted: bool, partial: bool) -> Self {
        let mut lines: [Lines; 2] = Default::default();
        let mut agreement = Agreement::default();
        if partial {
            lines.iter_mut().for_each(Lines::lose);
            agreement.doubt();
        }
        Self {
            id,
            key,
            born_at,
            adopted,
            forwarded: false,
            user: None,
            last_command: None,
            transfers: 0,
            bytes: [0; 2],
            data: Transfers::default(),
            engine: Dialogue::new(adopted, partial),
            agreement,
            history: History::default(),
            lines,
            asked_user: None,
            last_reply: None,
            negotiation: None,
            refusals: VecDeque::new(),
        }
    }

    /// A session that the kernel followed before this agent ran. `logged_in` is what to believe
    /// where the kernel does not follow logins itself.
    #[must_use]
    pub fn taken_over(key: SessionKey, session: &abi::values::Session, logged_in: bool) -> Self {
        let state = session.shared.state();
        let adopted = session.shared.state().has(State::ADOPTED);
        let mut taken = Self::new(session.id, key, session.born_at, adopted, true);
        taken.engine = Dialogue::new(logged_in || state.has(State::LOGGED_IN), true);
        taken.engine.set_opaque(state.has(State::OPAQUE));
        taken
    }

    /// What the kernel knows of the client's past: bits of [`opened`].
    pub const fn set_past(&mut self, bits: u32) {
        if bits & opened::UNREAD != 0 {
            self.engine.set_unread();
        }
        if bits & opened::DOUBTFUL != 0 {
            self.engine.doubt_client();
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn state(&self) -> State {
        self.engine.state()
    }

    /// The kernel found that its bytes are encrypted from here on, or no more (CCC). What data connections
    /// carry may stay so: the length of a file is none of theirs any more.
    pub fn set_opaque(&mut self, opaque: bool) {
        self.engine.set_opaque(opaque);
        self.data.doubt();
    }

    /// Events were lost: what comes may begin anywhere, and cannot be compared any more.
    pub fn doubt(&mut self) {
        self.engine.doubt();
        self.agreement.doubt();
        self.data.doubt();
    }

    /// Whether bytes of the client's that came a second time are others than the first time.
    #[must_use]
    pub fn contradicts(&self, record: &Record) -> bool {
        self.history
            .contradicts(Sequence(record.header.sequence), &record.payload)
    }

    /// As [`Dialogue::rewind`].
    pub fn rewind(&mut self, next: Sequence) -> Option<Rewound> {
        self.lines[Direction::Client as usize].restart();
        self.data.doubt();
        self.engine.rewind(next)
    }

    /// What the kernel is expected to conclude.
    pub const fn agreement(&mut self) -> &mut Agreement {
        &mut self.agreement
    }

    /// Takes control bytes; what the engine concludes from them.
    pub fn take(&mut self, record: &Record) -> Vec<Conclusion> {
        let direction = Direction::from_u8(record.header.direction);
        let sequence = Sequence(record.header.sequence);
        self.bytes[direction as usize] += record.payload.len() as u64;
        if direction == Direction::Client {
            self.history.push(sequence, &record.payload);
        }
        let mut concluded = Vec::new();
        let engine = &mut self.engine;
        if direction == Direction::Server {
            engine.acknowledge(Sequence(record.header.number));
            self.forwarded = record.header.detail != 0;
        }
        engine.take(
            direction,
            sequence,
            &record.payload,
            &self.key.client,
            |at, conclusion| {
                concluded.push((at, conclusion));
            },
        );
        // Text up to each conclusion first, so that the line it stands in is the last one.
        let mut from = 0;
        for (at, conclusion) in &concluded {
            self.read(direction, sequence, &record.payload, from..*at);
            from = *at;
            self.note(direction, *conclusion);
        }
        match self.state().has(State::OPAQUE) {
            true => self.data.doubt(),
            false => self.read(
                direction,
                sequence,
                &record.payload,
                from..record.payload.len(),
            ),
        }
        concluded
            .into_iter()
            .map(|(_, conclusion)| conclusion)
            .collect()
    }

    fn read(
        &mut self,
        direction: Direction,
        sequence: Sequence,
        payload: &[u8],
        range: std::ops::Range<usize>,
    ) {
        let at = sequence.plus(u32::try_from(range.start).unwrap_or(u32::MAX));
        let (last_command, last_reply) = (&mut self.last_command, &mut self.last_reply);
        let (asked_user, data) = (&mut self.asked_user, &mut self.data);
        self.lines[direction as usize].take(at, &payload[range], |line| match direction {
            Direction::Client => {
                *last_command = Some(text::command(line));
                if let Some(user) = text::user(line) {
                    *asked_user = Some(user);
                }
                data.command(line);
            }
            Direction::Server => {
                *last_reply = Some(text::printable(line));
                data.reply(line);
            }
        });
    }

    fn note(&mut self, direction: Direction, conclusion: Conclusion) {
        let line = match direction {
            Direction::Client => &self.last_command,
            Direction::Server => &self.last_reply,
        };
        match conclusion {
            Conclusion::LoggedIn => self.user.clone_from(&self.asked_user),
            Conclusion::ArmPassive { .. } | Conclusion::ArmActive { .. } => {
                self.negotiation.clone_from(line);
            }
            Conclusion::Refused(refusal) if self.refusals.len() < REFUSALS => {
                self.refusals
                    .push_back((refusal, line.clone().unwrap_or_default()));
            }
            _ => {}
        }
    }

    /// The line that was refused: the engine's own refusals are known with theirs; what the kernel
    /// refuses beyond that (nothing listens there, …) stood in the last negotiation.
    pub fn refused_line(&mut self, refusal: Refusal) -> Option<String> {
        match self
            .refusals
            .iter()
            .position(|(found, _)| *found == refusal)
        {
            Some(index) => self.refusals.remove(index).map(|(_, line)| line),
            None => self.negotiation.clone(),
        }
    }

    /// As queries show it.
    #[must_use]
    pub fn row(&self, now: u64) -> SessionRow {
        let state = self.state();
        SessionRow {
            id: self.id,
            client: self.key.client.into(),
            client_port: self.key.client_port,
            server: self.key.server.into(),
            server_port: self.key.server_port,
            user: self.user.clone(),
            state: state.name().to_owned(),
            tls: state.has(State::OPAQUE),
            adopted: self.adopted,
            last_command: self.last_command.clone(),
            transfers: self.transfers,
            bytes_in: self.bytes[Direction::Client as usize],
            bytes_out: self.bytes[Direction::Server as usize],
            age_ms: ms_between(self.born_at, now),
        }
    }
}

/// All sessions, by number.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: HashMap<u64, Session>,
}

impl Sessions {
    /// The session that an event is about. One whose opening was lost, or happened before this
    /// agent ran, is made up from the event itself; `None` for events without a session.
    pub fn of(&mut self, header: &EventHeader) -> Option<&mut Session> {
        (header.session != 0).then(|| {
            self.by_id
                .entry(header.session)
                .or_insert_with(|| Session::new(header.session, header.key, header.at, true, true))
        })
    }

    /// A session that is known already.
    #[must_use]
    pub fn get(&mut self, id: u64) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    /// The number of the session with these ends.
    #[must_use]
    pub fn id_of(&self, key: &SessionKey) -> Option<u64> {
        let mut sessions = self.by_id.values();
        sessions.find(|it| it.key == *key).map(|it| it.id)
    }

    /// Adds, or replaces, a session.
    pub fn insert(&mut self, session: Session) {
        self.by_id.insert(session.id, session);
    }

    /// Removes a session.
    pub fn remove(&mut self, id: u64) -> Option<Session> {
        self.by_id.remove(&id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.by_id.values_mut()
    }

    /// Keeps only sessions of these numbers, and those born after `before`, ns.
    pub fn retain_live(&mut self, live: &std::collections::HashSet<u64>, before: u64) {
        self.by_id
            .retain(|id, session| live.contains(id) || session.born_at > before);
    }

    /// As queries show them, by number.
    #[must_use]
    pub fn rows(&self, now: u64) -> Vec<SessionRow> {
        let mut rows: Vec<_> = self
            .by_id
            .values()
            .map(|session| session.row(now))
            .collect();
        rows.sort_by_key(|row| row.id);
        rows
    }
}
