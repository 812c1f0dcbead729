//! The client's side: bytes of commands.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    LOWEST_PORT,
    command::{Command, Kind},
    fifo::{self, Outstanding},
    line::{Line, Token},
    records::{Framed, Records},
    shared::{Shared, State},
    telnet::Telnet,
};
use crate::{
    address::Address,
    reason::{Negotiation, Refusal},
    stream::Sequence,
};

/// What a byte of the client's concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// Nothing yet.
    None,
    /// The server may dial `port` on the client, until it refuses the command.
    Arm {
        /// Client's port, host byte order.
        port: u16,
        /// Which command.
        by: Negotiation,
    },
    /// A PORT, EPRT or LPRT that arms nothing.
    Refused(Refusal),
}

/// What a [`ClientSide::rewind`] took back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewound {
    /// Nothing that had armed a tuple.
    Harmless,
    /// A command that had armed an active tuple.
    Armed,
}

/// Nothing but plain text since AUTH, if there was one.
const PLAIN: u8 = 0;
/// Inside TLS.
const TLS: u8 = 1;
/// Plain text again; the server's side has not shown that yet.
const RESUMED: u8 = 2;

/// The stream of commands of one session, and where it is in its line.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClientSide {
    command: Command,
    line: Line,
    records: Records,
    /// Sequence number of the byte that comes next.
    next: u32,
    telnet: Telnet,
    /// How far the stream is into TLS: [`PLAIN`], [`TLS`] or [`RESUMED`].
    opaque: u8,
    /// 1: a hole proves no login: bytes were taken back once, or there may be some that nobody read.
    doubtful: u8,
    reserved: u8,
}

impl ClientSide {
    /// Starts following at `next`: the beginning of a connection or, met in the middle, the
    /// beginning of a line (a client that waits for its reply is always there). `unread`: there were
    /// bytes before, and commands maybe.
    #[inline(always)]
    pub fn start(&mut self, next: Sequence, shared: &Shared, unread: bool) {
        self.next = next.0;
        self.line.start();
        self.command.start_line();
        shared.fifo.begin(next);
        if unread {
            self.doubt();
            self.unknown(shared);
        }
    }

    /// There may be bytes that nobody read, and that TCP keeps for later: a hole proves no login.
    #[inline(always)]
    pub const fn doubt(&mut self) {
        self.doubtful = 1;
    }

    /// Sequence number of the byte that comes next.
    #[inline(always)]
    #[must_use]
    pub const fn next(&self) -> Sequence {
        Sequence(self.next)
    }

    /// The stream goes on at `next`, everything before it was taken.
    #[inline(always)]
    pub fn advance(&mut self, next: Sequence) {
        self.next = next.0;
    }

    /// Bytes before `next` are lost: nothing counts before the next line, and which command a reply
    /// answers is unknown until a reply shows it.
    #[inline(always)]
    pub fn resynchronise(&mut self, next: Sequence, shared: &Shared) {
        self.next = next.0;
        // A hole is easily made behind bytes that TCP threw away, and before those that it keeps for later.
        if self.doubtful == 0 {
            shared.adopt();
        }
        self.records.lose();
        self.lose(shared);
    }

    /// Nothing counts before the next line.
    #[inline(always)]
    fn lose(&mut self, shared: &Shared) {
        self.line.start_partial();
        self.command.start_line();
        self.unknown(shared);
    }

    /// Whether the bytes of a stream in this state can be taken back: records of TLS cannot.
    #[inline(always)]
    #[must_use]
    pub const fn can_rewind(&self) -> bool {
        self.opaque == PLAIN
    }

    /// TCP took nothing from `next` on, although it was read here: a segment that it threw away for
    /// one of its many reasons (RFC 9293 §3.10.7.4). The commands in it were none.
    ///
    /// Where `next` is the end of a line, all is as it was then; elsewhere nothing counts before the
    /// next line.
    #[inline(always)]
    pub fn rewind(&mut self, next: Sequence, shared: &Shared) -> Rewound {
        self.next = next.0;
        self.doubt();
        let mut rewound = Rewound::Harmless;
        for _ in 0..fifo::CAPACITY {
            let Some(last) = shared.fifo.last() else {
                break;
            };
            if !last.end.is_after(next) {
                break;
            }
            if last.armed {
                rewound = Rewound::Armed;
            }
            if last.kind == Kind::EpsvAll {
                shared
                    .fifo
                    .epsv_all
                    .store(shared.fifo.epsv_all.load().wrapping_sub(1));
            }
            shared.fifo.take_back(last);
        }
        self.telnet = Telnet::default();
        let at_line_end = shared
            .fifo
            .last()
            .is_some_and(|last| last.end == next && last.kind != Kind::Unknown);
        if at_line_end {
            self.line.start();
            self.command.start_line();
        } else {
            self.lose(shared);
        }
        rewound
    }

    /// Takes one byte. `client` is the other end of the control connection.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8, shared: &Shared, client: &Address) -> ClientEvent {
        self.next = self.next.wrapping_add(1);
        if self.is_opaque(byte, shared) {
            return ClientEvent::None;
        }
        let Some(text) = self.telnet.text(byte) else {
            return ClientEvent::None;
        };
        match self.line.byte(text) {
            Token::Text(text) => {
                self.command.byte(text);
                ClientEvent::None
            }
            Token::End => {
                let event = self.end_line(shared, client);
                self.line.start();
                self.command.start_line();
                event
            }
        }
    }

    /// Follows the session into TLS and, after CCC, out of it. The server says when it begins; that it
    /// ends, each direction shows for itself.
    #[inline(always)]
    fn is_opaque(&mut self, byte: u8, shared: &Shared) -> bool {
        let opaque = shared.state().has(State::OPAQUE);
        if self.opaque == PLAIN && opaque {
            self.opaque = TLS;
            self.records.start();
        } else if self.opaque == RESUMED && !opaque {
            self.opaque = PLAIN;
        } else if self.opaque == TLS && !opaque {
            // The server is out of TLS already: records of the client's were lost, or never came.
            self.opaque = PLAIN;
            self.lose(shared);
        }
        if self.opaque != TLS {
            return false;
        }
        if self.records.byte(byte) == Framed::Opaque {
            return true;
        }
        self.opaque = RESUMED;
        self.telnet = Telnet::default();
        self.line.start();
        self.command.start_line();
        self.unknown(shared);
        false
    }

    #[inline(always)]
    fn end_line(&mut self, shared: &Shared, client: &Address) -> ClientEvent {
        if self.line.is_partial() {
            return ClientEvent::None;
        }
        if self.line.is_blank() {
            // Some servers answer an empty line, some do not.
            self.unknown(shared);
            return ClientEvent::None;
        }
        let kind = self.command.end_line();
        if let Some(fault) = self.line.fault() {
            self.push(shared, Kind::Other, 0, false);
            return match kind.negotiation() {
                Some(_) => ClientEvent::Refused(fault),
                None => ClientEvent::None,
            };
        }
        if kind == Kind::EpsvAll {
            shared
                .fifo
                .epsv_all
                .store(shared.fifo.epsv_all.load().wrapping_add(1));
        }
        match kind.negotiation() {
            Some(by) if kind.is_active() => self.active(kind, by, shared, client),
            _ => {
                self.push(shared, kind, 0, false);
                ClientEvent::None
            }
        }
    }

    /// PORT, EPRT or LPRT. Servers may dial before they say 200, so it arms at the command where
    /// the session is logged in, and at the reply where the login is still under way.
    #[inline(always)]
    fn active(
        &mut self,
        kind: Kind,
        by: Negotiation,
        shared: &Shared,
        client: &Address,
    ) -> ClientEvent {
        let port = match self.command.host_port() {
            // RFC 2577 §3: another host's address is what a bounce attack is made of.
            Ok((address, _)) if address != *client => Err(Refusal::Bounce),
            Ok((_, port)) if port < LOWEST_PORT => Err(Refusal::LowPort),
            Ok(_) if shared.epsv_only() => Err(Refusal::EpsvAll),
            Ok((_, port)) => Ok(port),
            Err(refusal) => Err(refusal),
        };
        match port {
            Ok(port) => {
                let armed =
                    shared.state().has(State::LOGGED_IN) && !shared.state().has(State::ENDED);
                let event = if armed {
                    ClientEvent::Arm { port, by }
                } else {
                    ClientEvent::None
                };
                self.push(shared, kind, port, armed);
                event
            }
            Err(refusal) => {
                self.push(shared, kind, 0, false);
                ClientEvent::Refused(refusal)
            }
        }
    }

    #[inline(always)]
    fn push(&self, shared: &Shared, kind: Kind, port: u16, armed: bool) {
        shared.fifo.push(Outstanding {
            kind,
            armed,
            port,
            end: self.next(),
        });
    }

    /// From here on it is unknown which command a reply answers.
    #[inline(always)]
    fn unknown(&self, shared: &Shared) {
        self.push(shared, Kind::Unknown, 0, false);
    }
}
