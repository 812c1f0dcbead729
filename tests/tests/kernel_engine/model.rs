//! What the TC programs must make of segments: the engine's host build, and around it what only the
//! programs do: births, holes that TCP is left to fill, what may be armed, and what is.

use std::collections::BTreeMap;

use ftpfw_common::{
    Address,
    abi::{
        event::{Cause, Direction, PAYLOAD_CHUNK},
        values::Mode,
    },
    control::{Conclusion, Dialogue, Rewound, State},
    reason::{Counter, Loss, Negotiation, Nic, Reason, Refusal},
    stream::{Placement, Sequence, place},
};

use crate::{
    segment::{End, Segment},
    told::Told,
    world::LISTENING,
};

/// A port that the operator opened: there is nothing to arm.
pub const OPEN_PORT: u16 = 8080;

/// A session that was born.
struct Live {
    dialogue: Dialogue,
    /// Sequence number of the byte that comes next, by direction.
    next: [Sequence; 2],
    /// What the server acknowledged.
    acknowledged: Sequence,
    /// It is known where the server's stream began.
    server_begun: bool,
}

/// One control connection.
pub struct Model {
    client: Address,
    /// What the server's TCP wants next of the client.
    wanted: Sequence,
    /// The connection was used before the follower came.
    used: bool,
    live: Option<Live>,
    armed: Option<(Mode, u16)>,
    /// The control connection has ended: no transcript goes on behind that.
    ended: bool,
    /// Everything that the engine concluded.
    pub concluded: Vec<Conclusion>,
}

impl Model {
    pub fn new(client: Address, wanted: Sequence, used: bool) -> Self {
        Self {
            client,
            wanted,
            used,
            live: None,
            armed: None,
            ended: false,
            concluded: Vec::new(),
        }
    }

    /// What is armed at the moment.
    pub fn armed(&self) -> Option<(Mode, u16)> {
        self.armed
    }

    /// The state of the session; `None` before it is born.
    pub fn state(&self) -> Option<State> {
        let state = self.live.as_ref()?.dialogue.state();
        Some(State(if self.ended {
            state.0 | State::ENDED
        } else {
            state.0
        }))
    }

    /// Takes a segment; counts what the programs count.
    pub fn take(&mut self, segment: &Segment, counts: &mut Counts) -> Vec<Told> {
        let mut told = Vec::new();
        match segment.direction {
            Direction::Client => self.command(segment, &mut told),
            Direction::Server => self.reply(segment, &mut told),
        }
        for told in &told {
            counts.told(told);
        }
        told
    }

    fn command(&mut self, segment: &Segment, told: &mut Vec<Told>) {
        if segment.damaged {
            return told.push(Told::Dropped(Reason::ControlChecksum));
        }
        if self.live.is_none() {
            if segment.bytes.is_empty() || segment.end == End::Reset {
                return;
            }
            self.born(segment, told);
        }
        let Some(live) = &mut self.live else { return };
        let next = live.next[Direction::Client as usize];
        if segment.end == End::Reset {
            if segment.sequence == next {
                self.end(told);
            }
            return;
        }
        let next = self.rewind(segment, told).unwrap_or(next);
        let Some(live) = &mut self.live else { return };
        if place(next, segment.sequence, segment.length()) == Placement::Hole {
            // What the server has cannot be asked for again: on from there.
            let acknowledged = live.acknowledged.is_after(next);
            if segment.length() > 0 && (acknowledged || self.wanted == segment.sequence) {
                let ahead = acknowledged && segment.sequence.is_after(live.acknowledged);
                let from = if ahead {
                    live.acknowledged
                } else {
                    segment.sequence
                };
                live.next[Direction::Client as usize] = from;
                live.dialogue
                    .take(Direction::Client, from, &[], &self.client, |_, _| {});
                told.push(Told::Gap {
                    direction: Direction::Client,
                    sequence: from.0,
                });
            }
            let next = live.next[Direction::Client as usize];
            if segment.sequence.is_after(next) {
                if segment.length() > 0 {
                    told.push(Told::Dropped(Reason::ControlOutOfOrder));
                }
                return;
            }
        }
        self.bytes(segment, told);
        let at_end = self
            .live
            .as_ref()
            .is_some_and(|it| it.next[0] == segment.next());
        if segment.end == End::Fin && at_end {
            self.end(told);
        }
    }

    /// What is sent again may not have been taken the first time. Where the stream then goes on.
    fn rewind(&mut self, segment: &Segment, told: &mut Vec<Told>) -> Option<Sequence> {
        let live = self.live.as_mut()?;
        let (next, wanted) = (live.next[Direction::Client as usize], self.wanted);
        let read = next.is_after(segment.sequence) && next.is_after(wanted);
        if segment.length() == 0 || !read || segment.sequence.is_after(wanted) {
            return None;
        }
        let rewound = live.dialogue.rewind(wanted)?;
        live.next[Direction::Client as usize] = wanted;
        told.push(Told::Rewound { sequence: wanted.0 });
        if rewound == Rewound::Armed && matches!(self.armed, Some((Mode::Active, _))) {
            self.withdraw(Cause::Discarded, told);
        }
        Some(wanted)
    }

    /// A session begins with the client's first word.
    fn born(&mut self, segment: &Segment, told: &mut Vec<Told>) {
        let next = [self.wanted, segment.acknowledgment];
        let mut dialogue = Dialogue::new(self.used, false);
        let mut begin = |direction| {
            let from = next[direction as usize];
            dialogue.take(direction, from, &[], &self.client, |_, _| {});
        };
        begin(Direction::Client);
        // Otherwise the server begins where its first word is, whatever the client acknowledged.
        if self.used {
            begin(Direction::Server);
        }
        self.live = Some(Live {
            dialogue,
            next,
            acknowledged: self.wanted,
            server_begun: self.used,
        });
        told.push(Told::Opened { adopted: self.used });
    }

    fn reply(&mut self, segment: &Segment, told: &mut Vec<Told>) {
        let Some(live) = &mut self.live else { return };
        live.acknowledged = segment.acknowledgment;
        live.dialogue.acknowledge(segment.acknowledgment);
        self.bytes(segment, told);
        if segment.end != End::Open {
            self.end(told);
        }
    }

    /// The payload through the engine.
    fn bytes(&mut self, segment: &Segment, told: &mut Vec<Told>) {
        let Some(live) = &mut self.live else { return };
        if segment.bytes.is_empty() {
            return;
        }
        let direction = segment.direction;
        let next = &mut live.next[direction as usize];
        if direction == Direction::Server && !std::mem::replace(&mut live.server_begun, true) {
            *next = segment.sequence;
        }
        let skip = match place(*next, segment.sequence, segment.length()) {
            Placement::Old => return,
            Placement::Next { skip } => skip,
            Placement::Hole => {
                told.push(Told::Gap {
                    direction,
                    sequence: segment.sequence.0,
                });
                0
            }
        };
        *next = segment.next();
        let mut conclusions = Vec::new();
        live.dialogue.take(
            direction,
            segment.sequence,
            &segment.bytes,
            &self.client,
            |taken, conclusion| conclusions.push((taken, conclusion)),
        );
        let mut conclusions = conclusions.into_iter().peekable();
        let (skip, mut taken) = (skip as usize, skip as usize);
        for chunk in segment.bytes[skip..].chunks(PAYLOAD_CHUNK) {
            let sequence = segment.sequence.0.wrapping_add(taken as u32);
            told.push(Told::payload(direction, sequence, chunk));
            taken += chunk.len();
            while let Some((_, conclusion)) = conclusions.next_if(|(at, _)| *at <= taken) {
                self.conclude(conclusion, told);
            }
        }
    }

    fn conclude(&mut self, conclusion: Conclusion, told: &mut Vec<Told>) {
        self.concluded.push(conclusion);
        match conclusion {
            Conclusion::ArmPassive { port, .. } if port == OPEN_PORT => told.push(Told::Refused {
                refusal: Refusal::NotProtected,
                port,
            }),
            Conclusion::ArmPassive { port, .. } if !LISTENING.contains(&port) => {
                told.push(Told::Refused {
                    refusal: Refusal::NotListening,
                    port,
                });
            }
            Conclusion::ArmPassive { port, by } => self.arm(Mode::Passive, port, by, told),
            Conclusion::ArmActive { port, by } => self.arm(Mode::Active, port, by, told),
            Conclusion::WithdrawActive { port } => {
                if self.armed == Some((Mode::Active, port)) {
                    self.withdraw(Cause::Refused, told);
                }
            }
            Conclusion::Withdraw(cause) => self.withdraw(cause, told),
            Conclusion::Refused(refusal) => told.push(Told::Refused { refusal, port: 0 }),
            Conclusion::LoggedIn => {}
            Conclusion::Opaque => told.push(Told::Opaque),
            Conclusion::Plain => told.push(Told::Plain),
        }
    }

    fn arm(&mut self, mode: Mode, port: u16, by: Negotiation, told: &mut Vec<Told>) {
        self.withdraw(Cause::Replaced, told);
        self.armed = Some((mode, port));
        told.push(Told::Armed { mode, port, by });
    }

    fn withdraw(&mut self, cause: Cause, told: &mut Vec<Told>) {
        if let Some((mode, port)) = self.armed.take() {
            told.push(Told::Withdrawn { mode, port, cause });
        }
    }

    fn end(&mut self, told: &mut Vec<Told>) {
        self.ended = true;
        self.withdraw(Cause::ControlClosed, told);
    }
}

/// Counters, by their index.
#[derive(Default)]
pub struct Counts(BTreeMap<u32, u64>);

impl Counts {
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(&counter.index(Nic(0))).copied().unwrap_or(0)
    }

    fn add(&mut self, counter: Counter) {
        *self.0.entry(counter.index(Nic(0))).or_default() += 1;
    }

    fn told(&mut self, told: &Told) {
        match *told {
            Told::Gap { .. } => self.add(Counter::Lost(Loss::Gap)),
            Told::Rewound { .. } => self.add(Counter::Lost(Loss::Rewound)),
            Told::Armed { by, .. } => self.add(Counter::Armed(by)),
            Told::Refused { refusal, .. } => self.add(Counter::Refused(refusal)),
            Told::Dropped(reason) => self.add(Counter::Verdict(reason)),
            _ => {}
        }
    }
}
