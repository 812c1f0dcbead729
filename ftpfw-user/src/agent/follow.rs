//! From records to sessions, tuples and events.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use aya::maps::MapError;
use ftpfw_common::{
    abi::{
        event::{Bytes, Cause, Direction, EventHeader, Kind, opened},
        keys::{ListenerKey, SessionKey},
        values::Mode,
    },
    control::{Conclusion, Rewound, State},
    reason::{Negotiation, Refusal},
    stream::Sequence,
};
use tracing::{debug, error};

use super::{
    daemons::Daemons,
    event::{Event, Happening},
    foreign::Foreign,
    journal::Journal,
    narrate,
    opener::Opener,
    sessions::{Session, Sessions},
    stream::Record,
    transfer::{Open, Running, Transfer},
};
use crate::{
    kernel::{clock::ms_between, tuples::Tuples},
    query::model::SessionRow,
};
use zerocopy::FromBytes as _;

/// Follows every session, and arms tuples where that is the agent's job.
#[derive(Debug)]
pub struct Follower {
    journal: Arc<Journal>,
    sessions: Sessions,
    tuples: Tuples,
    /// `Some` with `--opener agent`.
    opener: Option<Opener>,
    /// How often kernel and agent concluded differently.
    disagreements: u64,
    /// How often a client sent bytes again, and others.
    contradictions: u64,
    foreign: Foreign,
    daemons: Daemons,
    /// Sessions of this batch whose daemon is not known yet.
    begun: Vec<SessionKey>,
    /// Data connections whose session has ended, or that have none.
    orphans: VecDeque<(u64, Option<String>, Open)>,
}

/// So many at most: the oldest is forgotten, as its end may have been lost.
const ORPHANS: usize = 4096;

impl Follower {
    /// A follower of no sessions yet, who tells `journal` what happens.
    #[must_use]
    pub fn new(
        journal: Arc<Journal>,
        tuples: Tuples,
        opener: Option<Opener>,
        foreign: Foreign,
        daemons: Daemons,
    ) -> Self {
        Self {
            journal,
            sessions: Sessions::default(),
            tuples,
            opener,
            disagreements: 0,
            contradictions: 0,
            foreign,
            daemons,
            begun: Vec::new(),
            orphans: VecDeque::new(),
        }
    }

    /// Takes over a session that the kernel followed before this agent ran.
    pub fn take_over(&mut self, key: SessionKey, session: &ftpfw_common::abi::values::Session) {
        let logged_in = self.opener.is_some();
        self.sessions
            .insert(Session::taken_over(key, session, logged_in));
    }

    /// Another policy, by port, is about to hold: nobody else's listener becomes reachable by it.
    pub fn before_policy(&mut self, policy: &[u32]) {
        let _listening = self.foreign.mark(policy);
    }

    /// Another policy holds: control connections arrive at these ports, and tuples live for so long, ns.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn after_policy(&mut self, control: &[u16], lifetime: u64) -> Result<(), MapError> {
        if let Some(opener) = &mut self.opener {
            opener.set_lifetime(lifetime);
        }
        if self.daemons.control() == control {
            return Ok(());
        }
        self.foreign.set_control(control.to_vec());
        self.daemons.set_control(control.to_vec())
    }

    /// The sessions, as queries show them.
    #[must_use]
    pub fn rows(&self, now: u64) -> Vec<SessionRow> {
        self.sessions.rows(now)
    }

    /// Data connections that go on, by their ends.
    #[must_use]
    pub fn running(&self) -> HashMap<SessionKey, Running> {
        let known = self.sessions.iter();
        let known = known.flat_map(|session| session.data.running(session.user.as_ref()));
        let orphans = self.orphans.iter();
        let orphans = orphans.filter_map(|(_, user, open)| open.running(user.as_ref()));
        known.chain(orphans).collect()
    }

    /// How often kernel and agent concluded differently.
    #[must_use]
    pub const fn disagreements(&self) -> u64 {
        self.disagreements
    }

    /// How often a client sent bytes again, and others than the first time.
    #[must_use]
    pub const fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// Forgets sessions that the kernel no longer follows: their end may have been lost.
    pub fn retain_live(&mut self, live: &std::collections::HashSet<u64>, before: u64) {
        self.sessions.retain_live(live, before);
    }

    /// Looks who listens where, if records were lost or it could not be seen.
    pub fn catch_up(&mut self) {
        self.foreign.catch_up();
    }

    /// Takes a batch. `lost`: records are missing among or before them.
    pub fn take(&mut self, records: &[Record], lost: bool) {
        if lost {
            self.sessions.iter_mut().for_each(Session::doubt);
            self.foreign.lost();
        }
        for record in records {
            match Kind::from_u16(record.header.kind) {
                Some(kind) => self.event(kind, record, lost),
                None => error!("an event of unknown kind {}", record.header.kind),
            }
        }
        self.daemons.sessions(&self.begun);
        self.begun.clear();
        self.foreign.settle();
    }

    fn event(&mut self, kind: Kind, record: &Record, lost: bool) {
        let header = &record.header;
        self.compare(header);
        let mode = Mode::from_u8(header.detail).unwrap_or(Mode::Passive);
        let port = header.port;
        match kind {
            Kind::Opened => self.opened(header, lost),
            Kind::Payload => self.payload(record),
            Kind::Gap => self.gap(header),
            Kind::Armed => {
                let by = Negotiation::from_u32(header.number);
                self.tell(header, Happening::Armed { mode, port, by });
            }
            Kind::Claimed => self.claimed(header, mode),
            Kind::Withdrawn => {
                let cause = Cause::from_u32(header.number).unwrap_or(Cause::Replaced);
                self.tell(header, Happening::Withdrawn { mode, port, cause });
            }
            Kind::Finished => {
                let bytes = Bytes::read_from_bytes(&record.payload).ok();
                self.finished(header.session, &header.key, mode, header.at, bytes);
            }
            Kind::Refused => self.refused(header),
            Kind::Opaque => self.opaque(header, true),
            Kind::Plain => self.opaque(header, false),
            Kind::Closed => self.closed(header),
            Kind::ListenerClosed => self.listener_closed(header),
            Kind::Listening => self.listening(header),
            Kind::Repeated => self.repeated(record),
            Kind::Rewound => self.rewound(header),
            Kind::BounceOut => self.tell(header, Happening::BounceOut),
        }
    }

    fn tell(&self, header: &EventHeader, what: Happening) {
        self.journal.tell(header.at, Event::of(header, what));
    }

    fn opened(&mut self, header: &EventHeader, lost: bool) {
        let adopted = header.number & opened::ADOPTED != 0;
        let mut session = Session::new(header.session, header.key, header.at, adopted, lost);
        session.set_past(header.number);
        self.sessions.insert(session);
        self.begun.push(header.key);
        self.tell(header, Happening::Opened { adopted });
    }

    fn payload(&mut self, record: &Record) {
        let header = &record.header;
        if Direction::from_u8(header.direction) == Direction::Client {
            self.repeated(record);
        }
        let tell = |what| self.journal.tell(header.at, Event::of(header, what));
        let Some(session) = self.sessions.of(header) else {
            return;
        };
        let (id, key) = (session.id, session.key);
        let concluded = session.take(record);
        if self.opener.is_none() {
            let direction = Direction::from_u8(header.direction);
            if let Some(difference) = session.agreement().expect(direction, &concluded) {
                self.disagreements += 1;
                tell(Happening::Disagreement(difference));
            }
        }
        for conclusion in concluded {
            if conclusion == Conclusion::LoggedIn {
                let user = session.user.clone();
                tell(Happening::LoggedIn { user });
            }
            let Some(opener) = &mut self.opener else {
                continue;
            };
            match opener.conclude(&mut self.tuples, id, &key, session.forwarded, conclusion) {
                Ok(done) => done.into_iter().for_each(|done| {
                    tell(match done {
                        Happening::Refused { refusal, .. } => refused(session, refusal),
                        done => done,
                    });
                }),
                Err(error) => error!("session {id}: cannot carry out {conclusion:?}: {error:#}"),
            }
        }
        self.transferred(id, header.at);
    }

    fn gap(&mut self, header: &EventHeader) {
        if let Some(session) = self.sessions.of(header) {
            session.data.doubt();
        }
        self.tell(header, Happening::Gap);
    }

    /// With `--opener agent` the kernel concludes nothing.
    fn compare(&mut self, header: &EventHeader) {
        if self.opener.is_some() {
            return;
        }
        let session = self.sessions.of(header);
        let difference = session.and_then(|session| session.agreement().hear(header));
        if let Some(difference) = difference {
            self.disagreements += 1;
            self.tell(header, Happening::Disagreement(difference));
        }
    }

    fn claimed(&mut self, header: &EventHeader, mode: Mode) {
        // The event's key is that of the data connection; only a known session is counted for.
        match self.sessions.get(header.session) {
            Some(session) => {
                session.transfers += 1;
                session.data.claimed(header.key, mode, header.at);
            }
            None => {
                let open = Open::new(header.key, mode, Some(header.at));
                self.orphan(header.session, None, open);
            }
        }
        self.tell(header, Happening::Claimed { mode });
        self.transferred(header.session, header.at);
    }

    /// A data connection is over, at `at` (ns of `CLOCK_MONOTONIC`).
    pub fn finished(
        &mut self,
        id: u64,
        connection: &SessionKey,
        mode: Mode,
        at: u64,
        bytes: Option<Bytes>,
    ) {
        let event = |what| Event {
            session: id,
            key: Some(*connection),
            what,
        };
        self.journal.tell(at, event(Happening::Finished { mode }));
        if let Some(session) = self.sessions.get(id)
            && session.data.finished(connection, at, bytes)
        {
            return self.transferred(id, at);
        }
        let mut orphans = self.orphans.iter();
        let found = orphans.position(|(_, _, open)| open.is(connection));
        let (user, mut open) = match found.and_then(|nth| self.orphans.remove(nth)) {
            Some((_, user, open)) => (user, open),
            // It was made before this agent ran.
            None => (None, Open::new(*connection, mode, None)),
        };
        open.end(at, bytes);
        let transfer = Box::new(open.conclude(user));
        self.journal
            .tell(at, event(Happening::Transferred(transfer)));
    }

    fn orphan(&mut self, id: u64, user: Option<String>, open: Open) {
        if self.orphans.len() == ORPHANS {
            self.orphans.pop_front();
        }
        self.orphans.push_back((id, user, open));
    }

    /// Tells what is known to the end of a session's transfers.
    fn transferred(&mut self, id: u64, at: u64) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let silent = session.state().has(State::OPAQUE);
        for open in session.data.concluded(silent) {
            let transfer = open.conclude(session.user.clone());
            self.journal.tell(at, transfer_event(id, transfer));
        }
    }

    fn refused(&mut self, header: &EventHeader) {
        let Some(refusal) = Refusal::from_u32(header.number) else {
            return;
        };
        if let Some(session) = self.sessions.of(header) {
            let what = refused(session, refusal);
            self.tell(header, what);
        }
    }

    fn opaque(&mut self, header: &EventHeader, opaque: bool) {
        if opaque {
            self.begun.push(header.key);
        }
        if let Some(session) = self.sessions.of(header) {
            session.set_opaque(opaque);
        }
        let what = if opaque {
            Happening::Opaque
        } else {
            Happening::Plain
        };
        self.tell(header, what);
    }

    fn closed(&mut self, header: &EventHeader) {
        let (id, key) = (header.session, &header.key);
        if let Some(opener) = &mut self.opener {
            match opener.close(&mut self.tuples, id, key) {
                Ok(done) => done.into_iter().for_each(|done| self.tell(header, done)),
                Err(error) => error!("session {id}: cannot change the map of tuples: {error}"),
            }
        }
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        let (over, open) = session.data.close();
        for open in over {
            let transfer = open.conclude(session.user.clone());
            self.journal.tell(header.at, transfer_event(id, transfer));
        }
        for open in open {
            self.orphan(id, session.user.clone(), open);
        }
        let (age_ms, transfers) = (ms_between(session.born_at, header.at), session.transfers);
        self.tell(header, Happening::Closed { age_ms, transfers });
    }

    fn listening(&mut self, header: &EventHeader) {
        let Ok(pid) = i32::try_from(header.number) else {
            return;
        };
        let port = header.key.server_port;
        if self.daemons.serves(port) {
            return self.daemons.find();
        }
        if header.detail != 0 || self.daemons.found_late(pid) {
            let listener = ListenerKey::new(header.key.server, port);
            let sessions = &self.sessions;
            let id = |key: &SessionKey| sessions.id_of(key);
            return self.daemons.narrow(&listener, pid, id);
        }
        if self.foreign.listening(port, pid) {
            debug!("port {port} is closed to negotiations: process {pid}, no FTP daemon, listens");
        }
    }

    /// TCP threw away what was read of the client's.
    fn rewound(&mut self, header: &EventHeader) {
        let (id, key) = (header.session, &header.key);
        self.tell(header, Happening::Rewound);
        let Some(session) = self.sessions.of(header) else {
            return;
        };
        let armed = session.rewind(Sequence(header.sequence)) == Some(Rewound::Armed);
        let Some(opener) = self.opener.as_mut().filter(|_| armed) else {
            return;
        };
        match opener.discard(&mut self.tuples, id, key) {
            Ok(done) => done.into_iter().for_each(|done| self.tell(header, done)),
            Err(error) => error!("session {id}: cannot change the map of tuples: {error}"),
        }
    }

    /// Two copies of the same bytes that differ. The one that TCP took counts: the first, unless it
    /// was thrown away.
    fn repeated(&mut self, record: &Record) {
        let session = self.sessions.of(&record.header);
        if session.is_some_and(|session| session.contradicts(record)) {
            self.contradictions += 1;
            self.tell(&record.header, Happening::Contradiction);
        }
    }

    /// The programs withdrew the tuple armed last for that port; the others are found here.
    fn listener_closed(&mut self, header: &EventHeader) {
        let (server, port) = (header.key.server, header.key.server_port);
        debug!("the listener on {} closed", narrate::socket(server, port));
        if header.number == 0 {
            return self.foreign.closed(port);
        }
        let withdrawn = self.tuples.all().and_then(|all| {
            for (key, tuple) in all {
                let concerned =
                    key.server_port == port && (server.is_unspecified() || key.server == server);
                if concerned && self.tuples.withdraw(&key)? {
                    let event = Event::withdrawn(&key, &tuple, Cause::ListenerClosed);
                    self.journal.tell(header.at, event);
                }
            }
            Ok(())
        });
        if let Err(error) = withdrawn {
            error!(
                "cannot withdraw the tuples of {}: {error}",
                narrate::socket(server, port)
            );
        }
    }
}

/// What a data connection was.
fn transfer_event(session: u64, transfer: Transfer) -> Event {
    Event {
        session,
        key: Some(transfer.connection),
        what: Happening::Transferred(Box::new(transfer)),
    }
}

/// A refusal with the line that it is about.
fn refused(session: &mut Session, refusal: Refusal) -> Happening {
    let line = session.refused_line(refusal);
    Happening::Refused { refusal, line }
}
