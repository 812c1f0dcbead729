//! Control connections: placement of segments, birth and end of sessions.
//!
//! Mirrors `commands.rs`, `replies.rs` and `sessions.rs` of ftpfw-ebpf, but for one thing: the segment
//! that the kernel drops because it would leave a hole is sent again by TCP; here it is kept, and taken
//! when its turn comes.

use std::collections::HashMap;

use ftpfw_common::{
    abi::{
        event::Direction,
        keys::{PairKey, SessionKey},
        policy::port,
        values::{Mode, Tuple},
    },
    control::State,
    packet::{Tcp, transport::flag},
    reason::Reason,
    stream::{Placement, Sequence},
};

use super::{
    arming::{conclude, end, forget_opaque, pair},
    session::{Birth, Chunk, Session},
    world::World,
};

/// All sessions of a capture.
#[derive(Debug, Default)]
pub struct Follower {
    /// In the order in which they were met: the number of each is its place, from 1.
    pub sessions: Vec<Session>,
    live: HashMap<SessionKey, usize>,
    latest: HashMap<PairKey, usize>,
}

/// A segment of a control connection, as far as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The connection.
    pub key: &'a SessionKey,
    /// Its header.
    pub tcp: &'a Tcp,
    /// Its payload; shorter than the header says where the capture cut it.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    fn sequence(&self) -> Sequence {
        Sequence(self.tcp.sequence)
    }

    /// Sequence number behind its last byte.
    fn end(&self) -> Sequence {
        let length = u32::try_from(self.tcp.payload_len()).unwrap_or(u32::MAX);
        self.sequence().plus(length)
    }

    fn chunk(&self) -> Chunk {
        Chunk {
            sequence: self.sequence(),
            bytes: self.payload.to_vec(),
        }
    }

    /// 220, or 120 before it (RFC 959 §5.4).
    fn greets(&self) -> bool {
        self.payload.starts_with(b"220") || self.payload.starts_with(b"120")
    }
}

impl Follower {
    /// A segment that has come from a client; a reason when the kernel drops it.
    pub fn command(&mut self, segment: &Segment<'_>, world: &mut World) -> Option<Reason> {
        let index = self.find(segment, world)?;
        let session = &mut self.sessions[index];
        if segment.tcp.has(flag::RST) {
            // RFC 5961 §3.2: only a RST with exactly the number expected is one.
            if segment.sequence() == session.next(Direction::Client) {
                end(session, world);
            }
            return None;
        }
        let mut hole = false;
        if segment.tcp.payload_len() > 0 {
            let chunk = segment.chunk();
            match session.place(Direction::Client, &chunk) {
                Placement::Old => session.row.retransmitted += 1,
                Placement::Next { .. } => take(session, Direction::Client, &chunk, world),
                Placement::Hole => {
                    hole = true;
                    session.keep(chunk);
                }
            }
            take_kept(session, world);
        }
        if hole && segment.sequence().is_after(session.next(Direction::Client)) {
            session.row.out_of_order += 1;
            return Some(Reason::ControlOutOfOrder);
        }
        if segment.tcp.has(flag::FIN) && segment.end() == session.next(Direction::Client) {
            end(session, world);
        }
        None
    }

    /// A segment that leaves the server.
    pub fn reply(&mut self, segment: &Segment<'_>, world: &mut World) {
        let has_bytes = segment.tcp.payload_len() > 0;
        let index = match self.live.get(segment.key) {
            Some(index) => *index,
            None if !has_bytes || segment.tcp.has(flag::RST) => return,
            None => self.meet(segment, world),
        };
        let session = &mut self.sessions[index];
        if segment.tcp.has(flag::ACK) {
            session.acknowledge(Sequence(segment.tcp.acknowledgment));
            take_kept(session, world);
        }
        if has_bytes {
            let chunk = segment.chunk();
            match session.place(Direction::Server, &chunk) {
                Placement::Old => session.row.retransmitted += 1,
                _ => take(session, Direction::Server, &chunk, world),
            }
        }
        if segment.tcp.flags & (flag::FIN | flag::RST) != 0 {
            end(session, world);
        }
    }

    /// The control connection is over.
    pub fn closed(&mut self, key: &SessionKey, world: &mut World) {
        let Some(index) = self.live.remove(key) else {
            return;
        };
        let session = &mut self.sessions[index];
        let opaque = session.state().has(State::OPAQUE);
        end(session, world);
        session.live = false;
        if opaque {
            forget_opaque(key, world);
        }
    }

    /// A data connection was established: `tuple` allowed it.
    pub fn claimed(&mut self, tuple: &Tuple, mode: Mode, port: u16, now: u64) {
        if let Some(session) = self.by_id(tuple.session) {
            session.claimed(mode, port, now);
        }
    }

    /// The session that is live or was last between two hosts.
    #[must_use]
    pub fn latest(&self, client: &PairKey) -> Option<&Session> {
        self.latest.get(client).map(|index| &self.sessions[*index])
    }

    fn by_id(&mut self, id: u64) -> Option<&mut Session> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.sessions.get_mut(index)
    }

    /// The session of a client's segment. Its bytes make one only where the kernel knows the
    /// connection: a flood of forged segments makes none.
    fn find(&mut self, segment: &Segment<'_>, world: &mut World) -> Option<usize> {
        if let Some(index) = self.live.get(segment.key) {
            return Some(*index);
        }
        if segment.tcp.payload_len() == 0 || segment.tcp.has(flag::RST) {
            return None;
        }
        let begins = world.sockets.established(segment.key)?;
        let birth = Birth {
            client_next: segment.sequence(),
            server_next: Sequence(segment.tcp.acknowledgment),
            adopted: begins.remote != Some(segment.sequence())
                || begins.local != Some(Sequence(segment.tcp.acknowledgment)),
            opaque: is_implicit(segment.key, world),
        };
        Some(self.born(segment.key, &birth, world))
    }

    /// A session is born with the server's first payload.
    fn meet(&mut self, segment: &Segment<'_>, world: &mut World) -> usize {
        let begins = world.sockets.established(segment.key);
        let birth = Birth {
            client_next: Sequence(segment.tcp.acknowledgment),
            server_next: segment.sequence(),
            adopted: match begins.and_then(|it| it.local) {
                Some(first) => first != segment.sequence(),
                // The capture began later, or elsewhere: what the server says first must tell.
                None => !segment.greets(),
            },
            opaque: is_implicit(segment.key, world),
        };
        self.born(segment.key, &birth, world)
    }

    fn born(&mut self, key: &SessionKey, birth: &Birth, world: &mut World) -> usize {
        let index = self.sessions.len();
        let session = Session::new(index as u64 + 1, *key, birth, world.now);
        self.sessions.push(session);
        self.live.insert(*key, index);
        self.latest.insert(pair(key), index);
        if birth.opaque {
            *world.opaque.entry(pair(key)).or_default() += 1;
        }
        index
    }
}

fn is_implicit(key: &SessionKey, world: &World) -> bool {
    world.policy(key.server_port) & port::IMPLICIT_TLS != 0
}

/// Takes the segments whose turn has come.
fn take_kept(session: &mut Session, world: &mut World) {
    while let Some(chunk) = session.next_kept() {
        take(session, Direction::Client, &chunk, world);
    }
}

fn take(session: &mut Session, direction: Direction, chunk: &Chunk, world: &mut World) {
    for (conclusion, line) in session.take(direction, chunk, world.now) {
        conclude(session, conclusion, line, world);
    }
}
