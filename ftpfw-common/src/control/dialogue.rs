//! Both directions of one session in one place, for hosts: the agent, replay, tests and fuzzers.
//!
//! The kernel has no such thing: there the two directions run on different CPUs, and the programs
//! `commands` and `replies` take them through the same engine.

use zerocopy::FromZeros as _;

use super::{ClientEvent, ClientSide, Rewound, ServerEvent, ServerSide, Shared, State};
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
    /// There were bytes of the client's before its first.
    unread: bool,
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
            unread: adopted,
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

    /// The client spoke before anybody read it.
    pub const fn set_unread(&mut self) {
        self.unread = true;
    }

    /// As [`ClientSide::doubt`].
    pub const fn doubt_client(&mut self) {
        self.client.doubt();
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

    /// The server's TCP threw away what was read of the client's from `next` on. `None` when nothing
    /// was, or nothing that can be taken back.
    pub fn rewind(&mut self, next: Sequence) -> Option<Rewound> {
        let begun = !self.unstarted[Direction::Client as usize];
        (begun && self.client.next().is_after(next) && self.client.can_rewind())
            .then(|| self.client.rewind(next, &self.shared))
    }

    /// The server's segment whose bytes come next acknowledges the client's stream up to `sequence`.
    /// Without this the server has heard whatever the client said.
    pub fn acknowledge(&self, sequence: Sequence) {
        self.shared.acknowledge(sequence.0);
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
            Direction::Client => {
                self.client.advance(sequence.plus(length));
                self.shared.acknowledge(self.client.next().0);
            }
            Direction::Server => self.server.advance(sequence.plus(length)),
        }
    }

    fn start(&mut self, direction: Direction, sequence: Sequence) {
        if !core::mem::take(&mut self.unstarted[direction as usize]) {
            return;
        }
        match direction {
            _ if self.partial => self.resynchronise(direction, sequence),
            Direction::Client => self.client.start(sequence, &self.shared, self.unread),
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

    /// A dialogue that is logged in, and the numbers at which its streams go on.
    fn logged_in() -> (Dialogue, Sequence, Sequence) {
        let mut engine = Dialogue::new(false, false);
        play(
            &mut engine,
            &[
                (Server, "220 hello\r\n"),
                (Client, "USER alice\r\n"),
                (Server, "230 in\r\n"),
            ],
        );
        let (client, server) = (engine.next(Client), engine.next(Server));
        (engine, client, server)
    }

    const ARMS: Conclusion = Conclusion::ArmPassive {
        port: 50_001,
        by: Negotiation::Epsv,
    };
    const STRAY: Conclusion = Conclusion::Refused(Refusal::NoCommand);

    /// What a 229 comes to after a command of the client's that is acknowledged so far.
    fn answer(engine: &mut Dialogue, acknowledged: Sequence, at: Sequence) -> Vec<Conclusion> {
        let mut concluded = Vec::new();
        engine.acknowledge(acknowledged);
        let reply = b"229 Extended (|||50001|)\r\n";
        engine.take(Server, at, reply, &CLIENT, |_, it| concluded.push(it));
        concluded
    }

    #[test]
    fn nobody_answers_what_he_has_not_acknowledged() {
        for (missing, expected) in [(0, ARMS), (1, STRAY), (6, STRAY)] {
            let (mut engine, client, server) = logged_in();
            engine.take(Client, client, b"EPSV\r\n", &CLIENT, |_, _| {});
            let acknowledged = Sequence(engine.next(Client).0.wrapping_sub(missing));
            assert_eq!(answer(&mut engine, acknowledged, server), [expected]);
        }
    }

    #[test]
    fn what_tcp_threw_away_was_no_command() {
        for (wanted, again, expected) in [
            // All of it, and other bytes came in its place, or the same.
            (0, "CWD\r\n", STRAY),
            (0, "EPSV\r\n", ARMS),
            // All but the first line.
            (6, "EPSV\r\n", ARMS),
            // All but half a line: it cannot be known what the other half makes of it.
            (8, "SV\r\n", STRAY),
        ] {
            let (mut engine, client, server) = logged_in();
            engine.take(Client, client, b"NOOP\r\nEPSV\r\n", &CLIENT, |_, _| {});
            let wanted = client.plus(wanted);
            assert_eq!(engine.rewind(wanted), Some(Rewound::Harmless));
            let (again, mut server) = (again.as_bytes(), server);
            engine.take(Client, wanted, again, &CLIENT, |_, _| {});
            if wanted != client {
                let reply = b"200 ok\r\n";
                engine.take(Server, server, reply, &CLIENT, |_, _| {});
                server = engine.next(Server);
            }
            let acknowledged = engine.next(Client);
            assert_eq!(answer(&mut engine, acknowledged, server), [expected]);
            assert_eq!(engine.rewind(acknowledged), None);
        }
    }

    #[test]
    fn a_tuple_goes_with_the_command_that_was_thrown_away() {
        let (mut engine, client, _) = logged_in();
        let mut concluded = Vec::new();
        let port = b"EPRT |1|192.0.2.7|4000|\r\n";
        engine.take(Client, client, port, &CLIENT, |_, it| concluded.push(it));
        let armed = Conclusion::ArmActive {
            port: 4000,
            by: Negotiation::Eprt,
        };
        assert_eq!(concluded, [armed]);
        assert_eq!(engine.rewind(client), Some(Rewound::Armed));
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
