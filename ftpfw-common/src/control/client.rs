//! The client's side: bytes of commands.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    LOWEST_PORT,
    command::{Command, Kind},
    fifo::Outstanding,
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
    reserved: [u8; 2],
}

impl ClientSide {
    /// Starts following at `next`: the beginning of a connection or, met in the middle, the
    /// beginning of a line (a client that waits for its reply is always there).
    #[inline(always)]
    pub fn start(&mut self, next: Sequence, shared: &Shared, adopted: bool) {
        self.next = next.0;
        self.line.start();
        self.command.start_line();
        if adopted {
            unknown(shared);
        }
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
        shared.adopt();
        self.records.lose();
        self.line.start_partial();
        self.command.start_line();
        unknown(shared);
    }

    /// Takes one byte. `client` is the other end of the control connection.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8, shared: &Shared, client: &Address) -> ClientEvent {
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
            self.line.start_partial();
            self.command.start_line();
            unknown(shared);
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
        unknown(shared);
        false
    }

    #[inline(always)]
    fn end_line(&mut self, shared: &Shared, client: &Address) -> ClientEvent {
        if self.line.is_partial() {
            return ClientEvent::None;
        }
        if self.line.is_blank() {
            // Some servers answer an empty line, some do not.
            unknown(shared);
            return ClientEvent::None;
        }
        let kind = self.command.end_line();
        if let Some(fault) = self.line.fault() {
            push(shared, Kind::Other, 0, false);
            return match kind.negotiation() {
                Some(_) => ClientEvent::Refused(fault),
                None => ClientEvent::None,
            };
        }
        if kind == Kind::EpsvAll {
            shared
                .epsv_all
                .store(shared.epsv_all.load().wrapping_add(1));
        }
        match kind.negotiation() {
            Some(by) if kind.is_active() => self.active(kind, by, shared, client),
            _ => {
                push(shared, kind, 0, false);
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
                push(shared, kind, port, armed);
                if armed {
                    ClientEvent::Arm { port, by }
                } else {
                    ClientEvent::None
                }
            }
            Err(refusal) => {
                push(shared, kind, 0, false);
                ClientEvent::Refused(refusal)
            }
        }
    }
}

#[inline(always)]
fn push(shared: &Shared, kind: Kind, port: u16, armed: bool) {
    shared.fifo.push(Outstanding { kind, armed, port });
}

/// From here on it is unknown which command a reply answers.
#[inline(always)]
fn unknown(shared: &Shared) {
    push(shared, Kind::Unknown, 0, false);
}
