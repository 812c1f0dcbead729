//! Both directions of one session in one place, for hosts: the agent, replay, tests and fuzzers.
//!
//! The kernel has no such thing: there the two directions run on different CPUs, and the programs
//! `commands` and `replies` take them through the same engine.

use zerocopy::FromZeros as _;

use super::{ClientEvent, ClientSide, ServerEvent, ServerSide, Shared, State};
use crate::{
    abi::event::{Cause, Direction},
    address::Address,
    reason::{Negotiation, Refusal},
    stream::{Placement, Sequence, place},
};

/// What some bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The client may dial `port` on the server.
    ArmPassive {
        /// Host byte order.
        port: u16,
        /// Which command.
        by: Negotiation,
    },
    /// The server may dial `port` on the client.
    ArmActive {
        /// Host byte order.
        port: u16,
        /// Which command.
        by: Negotiation,
    },
    /// The server refused the command that named `port` on the client.
    WithdrawActive {
        /// Host byte order.
        port: u16,
    },
    /// Whatever the session has armed goes.
    Withdraw(Cause),
    /// A negotiation that arms nothing.
    Refused(Refusal),
    /// The login succeeded.
    LoggedIn,
    /// The session is TLS from here on.
    Opaque,
    /// The session is plain text again.
    Plain,
}

/// Both directions of one session.
#[derive(Debug)]
pub struct Dialogue {
    shared: Shared,
    client: ClientSide,
    server: ServerSide,
    /// Whether the direction's first bytes are still to come.
    unstarted: [bool; 2],
    /// The beginning cannot be trusted to be one: bytes of it may be lost.
    partial: bool,
    adopted: bool,
}

impl Dialogue {
    /// A dialogue that is just born or, `adopted`, was met in the middle. `partial`:
    /// the first bytes that come may not be the first that were sent.
    #[must_use]
    pub fn new(adopted: bool, partial: bool) -> Self {
        let dialogue = Self {
            shared: Shared::new_zeroed(),
            client: ClientSide::default(),
            server: ServerSide::default(),
            unstarted: [true; 2],
            partial,
            adopted,
        };
        if adopted {
            dialogue.adopt();
        }
        dialogue
    }

    /// What the session has come to.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Events may be lost: a direction that has not begun may begin in the middle.
    pub const fn doubt(&mut self) {
        self.partial = true;
    }

    /// The kernel says that the session is TLS from here on, or plain text again.
    pub fn set_opaque(&self, opaque: bool) {
        if opaque {
            self.shared.set(State::OPAQUE);
        } else {
            self.shared.clear(State::OPAQUE);
        }
    }

    /// The login may be among the bytes that are missing: from here on the session is one met in
    /// the middle.
    pub fn adopt(&self) {
        self.shared.adopt();
    }

    /// The control connection ends: nothing is armed any more.
    pub fn end(&self) {
        self.shared.set(State::ENDED);
    }

    /// Sequence number of the byte that comes next, once the direction has begun.
    #[must_use]
    pub fn next(&self, direction: Direction) -> Sequence {
        match direction {
            Direction::Client => self.client.next(),
            Direction::Server => self.server.next(),
        }
    }

    /// Takes bytes that begin at `sequence`. `conclude` hears what they come to, with the number of
    /// bytes taken when they did. Where bytes are missing, it starts over at the next line.
    pub fn take(
        &mut self,
        direction: Direction,
        sequence: Sequence,
        bytes: &[u8],
        client: &Address,
        mut conclude: impl FnMut(usize, Conclusion),
    ) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.start(direction, sequence);
        let skip = match place(self.next(direction), sequence, length) {
            Placement::Old => return,
            Placement::Next { skip } => skip as usize,
            Placement::Hole => {
                self.resynchronise(direction, sequence);
                0
            }
        };
        for (index, &byte) in bytes.iter().enumerate().skip(skip) {
            let conclusion = match direction {
                Direction::Client => from_client(self.client.byte(byte, &self.shared, client)),
                Direction::Server => from_server(self.server.byte(byte, &self.shared)),
            };
            if let Some(conclusion) = conclusion {
                conclude(index + 1, conclusion);
            }
        }
        match direction {
            Direction::Client => self.client.advance(sequence.plus(length)),
            Direction::Server => self.server.advance(sequence.plus(length)),
        }
    }

    fn start(&mut self, direction: Direction, sequence: Sequence) {
        if !core::mem::take(&mut self.unstarted[direction as usize]) {
            return;
        }
        match direction {
            _ if self.partial => self.resynchronise(direction, sequence),
            Direction::Client => self.client.start(sequence, &self.shared, self.adopted),
            Direction::Server => self.server.start(sequence),
        }
    }

    fn resynchronise(&mut self, direction: Direction, sequence: Sequence) {
        match direction {
            Direction::Client => self.client.resynchronise(sequence, &self.shared),
            Direction::Server => self.server.resynchronise(sequence, &self.shared),
        }
    }
}

fn from_client(event: ClientEvent) -> Option<Conclusion> {
    Some(match event {
        ClientEvent::None => return None,
        ClientEvent::Arm { port, by } => Conclusion::ArmActive { port, by },
        ClientEvent::Refused(refusal) => Conclusion::Refused(refusal),
    })
}

fn from_server(event: ServerEvent) -> Option<Conclusion> {
    Some(match event {
        ServerEvent::None => return None,
        ServerEvent::ArmPassive { port, by } => Conclusion::ArmPassive { port, by },
        ServerEvent::ArmActive { port, by } => Conclusion::ArmActive { port, by },
        ServerEvent::WithdrawActive { port } => Conclusion::WithdrawActive { port },
        ServerEvent::Withdraw(cause) => Conclusion::Withdraw(cause),
        ServerEvent::Refused(refusal) => Conclusion::Refused(refusal),
        ServerEvent::LoggedIn => Conclusion::LoggedIn,
        ServerEvent::Opaque => Conclusion::Opaque,
        ServerEvent::Plain => Conclusion::Plain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Address = Address::v4([192, 0, 2, 7]);

    /// Plays `(direction, text)`, each text one record, and collects the conclusions.
    fn play(engine: &mut Dialogue, script: &[(Direction, &str)]) -> Vec<Conclusion> {
        let mut next = [Sequence(1000), Sequence(u32::MAX - 20)];
        let mut concluded = Vec::new();
        for (direction, text) in script {
            let at = &mut next[*direction as usize];
            engine.take(*direction, *at, text.as_bytes(), &CLIENT, |_, it| {
                concluded.push(it);
            });
            *at = at.plus(u32::try_from(text.len()).unwrap());
        }
        concluded
    }

    use Direction::{Client, Server};

    #[test]
    fn a_passive_negotiation() {
        let concluded = play(
            &mut Dialogue::new(false, false),
            &[
                (Server, "220 hello\r\n"),
                (Client, "USER alice\r\n"),
                (Server, "331 and?\r\n"),
                (Client, "PASS x\r\n"),
                (Server, "230 in\r\n"),
                (Client, "PASV\r\n"),
                (Server, "227 Entering Passive Mode (10,0,0,1,195,81)\r\n"),
            ],
        );
        assert_eq!(
            concluded,
            [
                Conclusion::LoggedIn,
                Conclusion::ArmPassive {
                    port: 50_001,
                    by: Negotiation::Pasv
                },
            ]
        );
    }

    #[test]
    fn a_reply_that_nothing_asked_for_arms_nothing() {
        let concluded = play(
            &mut Dialogue::new(true, false),
            &[
                (Client, "NOOP\r\n"),
                (Server, "227 Entering Passive Mode (10,0,0,1,195,81)\r\n"),
            ],
        );
        assert!(
            !concluded
                .iter()
                .any(|it| matches!(it, Conclusion::ArmPassive { .. }))
        );
    }

    #[test]
    fn after_a_loss_nothing_counts_before_the_next_line() {
        // The first record that comes is the second half of `200 you wrote: 227 Entering …`.
        let concluded = play(
            &mut Dialogue::new(true, true),
            &[
                (Client, "PASV\r\n"),
                (Server, "227 Entering Passive Mode (10,0,0,1,195,81)\r\n"),
            ],
        );
        assert_eq!(concluded, []);
    }
}
