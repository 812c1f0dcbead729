//! The server's side: bytes of replies, and what they do to the commands that they answer.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    LOWEST_PORT,
    command::Kind,
    fifo::{Class, Outstanding},
    line::{Line, Token},
    records::{Framed, Records},
    reply::{Reply, ReplyLine, code},
    shared::{Shared, State},
    telnet::Telnet,
};
use crate::{
    abi::event::Cause,
    reason::{Negotiation, Refusal},
    stream::Sequence,
};

/// What a byte of the server's concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Nothing yet.
    None,
    /// The client may dial `port` on the server.
    ArmPassive {
        /// Server's port, host byte order.
        port: u16,
        /// Which command.
        by: Negotiation,
    },
    /// The server may dial `port` on the client: the login came after the command.
    ArmActive {
        /// Client's port, host byte order.
        port: u16,
        /// Which command.
        by: Negotiation,
    },
    /// The server refused PORT, EPRT or LPRT.
    WithdrawActive {
        /// Client's port, host byte order.
        port: u16,
    },
    /// Whatever the session has armed goes.
    Withdraw(Cause),
    /// A negotiation that arms nothing.
    Refused(Refusal),
    /// The login succeeded.
    LoggedIn,
    /// From the next byte on the session is TLS.
    Opaque,
    /// From this byte on it is plain text again, after CCC.
    Plain,
}

/// The stream of replies of one session, and where it is in its line.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ServerSide {
    reply: Reply,
    line: Line,
    records: Records,
    /// Sequence number of the byte that comes next.
    next: u32,
    /// Number of the command that the next final reply answers.
    tail: u32,
    telnet: Telnet,
    /// 1: which command a reply answers is unknown, until one shows it.
    unpaired: u8,
    /// 1: the last reply was a preliminary one.
    preliminary: u8,
    /// 1: bytes were taken.
    begun: u8,
}

impl ServerSide {
    /// Starts following at `next`. An adopted stream may be in the middle of a line: its first line
    /// counts only if it reads as a reply, which is what [`Reply`] asks of every line.
    #[inline(always)]
    pub fn start(&mut self, next: Sequence) {
        self.next = next.0;
        self.line.start();
        self.reply.restart();
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
        self.begun = 1;
    }

    /// Whether anything was taken. Before, where the stream begins is only what the client says: TCP takes
    /// an acknowledgment that is too low.
    #[inline(always)]
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun != 0
    }

    /// Bytes before `next` are lost: nothing counts before the next line, and replies may be missing.
    #[inline(always)]
    pub fn resynchronise(&mut self, next: Sequence, shared: &Shared) {
        self.next = next.0;
        shared.adopt();
        self.records.lose();
        self.line.start_partial();
        self.reply.restart();
        // Which commands were answered meanwhile cannot be known: none of them arms.
        self.tail = shared.fifo.head();
        self.unpaired = 1;
        self.preliminary = 0;
    }

    /// Takes one byte.
    #[inline(always)]
    pub fn byte(&mut self, byte: u8, shared: &Shared) -> ServerEvent {
        if shared.state().has(State::OPAQUE) {
            return self.opaque_byte(byte, shared);
        }
        let Some(text) = self.telnet.text(byte) else {
            return ServerEvent::None;
        };
        match self.line.byte(text) {
            Token::Text(text) => {
                if !self.line.is_partial() {
                    self.reply.byte(text);
                }
                ServerEvent::None
            }
            Token::End => {
                let event = if self.line.is_partial() {
                    ServerEvent::None
                } else {
                    match self.reply.end_line() {
                        ReplyLine::Final(code) => self.final_reply(code, shared),
                        ReplyLine::Other => ServerEvent::None,
                    }
                };
                self.line.start();
                self.reply.start_line();
                event
            }
        }
    }

    /// A byte of a session that is TLS, or was until this byte.
    #[inline(always)]
    fn opaque_byte(&mut self, byte: u8, shared: &Shared) -> ServerEvent {
        if self.records.byte(byte) == Framed::Opaque {
            return ServerEvent::None;
        }
        shared.clear(State::OPAQUE);
        // Who got as far as CCC has logged in under TLS: as in a session met in the middle.
        shared.set(State::GREETED | State::LOGGED_IN);
        self.telnet = Telnet::default();
        self.line.start();
        self.reply.restart();
        if let Token::Text(text) = self.line.byte(byte) {
            self.reply.byte(text);
        }
        ServerEvent::Plain
    }

    #[inline(always)]
    fn final_reply(&mut self, code: u16, shared: &Shared) -> ServerEvent {
        // RFC 959 §4.2: 1xx is preliminary, another reply follows. 421 may come at any time.
        if code == code::UNAVAILABLE {
            return ServerEvent::None;
        }
        let preliminary = u8::from(code < 200);
        if preliminary & self.preliminary != 0 {
            // RFC 959 §5.4 has one for each command. Pure-FTPd ends a download with the second when the
            // client has closed the data connection: whose reply the next one is cannot be known.
            self.unpaired = 1;
        }
        self.preliminary = preliminary;
        if preliminary != 0 {
            return ServerEvent::None;
        }
        if !shared.state().has(State::GREETED) {
            // RFC 959 §5.4: 220 opens the session. Nothing that comes before answers a command.
            if code == code::SERVICE_READY {
                shared.set(State::GREETED);
            }
            return ServerEvent::None;
        }
        match self.answered(code, shared) {
            Some(command) => self.pair(code, command, shared),
            None if is_passive(code) => ServerEvent::Refused(Refusal::NoCommand),
            None => ServerEvent::None,
        }
    }

    /// Takes the command that a final reply answers off the FIFO.
    ///
    /// Where the pairing is unknown, a reply finds it again if only one kind of command can have it,
    /// or if one command is outstanding. Any other reply is then nobody's.
    #[inline(always)]
    fn answered(&mut self, code: u16, shared: &Shared) -> Option<Outstanding> {
        let head = shared.fifo.head();
        if self.tail == head {
            return None;
        }
        if self.tail.wrapping_sub(head).cast_signed() > 0 {
            // A mark that was passed over was taken back.
            self.tail = head;
            self.unpaired = 1;
            return None;
        }
        let mut number = self.tail;
        let mut command = shared.fifo.get(number);
        if self.unpaired == 0 && command.is_none_or(|it| it.kind == Kind::Unknown) {
            // The mark itself, or a command that 16 later ones have overwritten.
            self.unpaired = 1;
            self.tail = number.wrapping_add(1);
            number = self.tail;
            command = shared.fifo.get(number);
        }
        if self.unpaired != 0 && number.wrapping_add(1) != head {
            number = shared.fifo.latest(answers(code)?, self.tail)?;
            command = shared.fifo.get(number);
        }
        let command = command?;
        // Nobody answers what he does not acknowledge: TCP may still throw that command away.
        let unheard = command.end.is_after(Sequence(shared.acknowledged()));
        if unheard || !plausible(code, command.kind) {
            return None;
        }
        self.tail = number.wrapping_add(1);
        self.unpaired = 0;
        Some(command)
    }

    #[inline(always)]
    fn pair(&mut self, code: u16, command: Outstanding, shared: &Shared) -> ServerEvent {
        let positive = code < 300;
        match command.kind {
            // Some servers answer what was pipelined behind PASS before PASS itself. No other command
            // has these replies (RFC 959 §5.4, RFC 2228 §5).
            _ if is_login(code) && shared.fifo.had(Class::Login) => self.login(code, shared),
            Kind::Login if !is_passive(code) => self.login(code, shared),
            kind if kind.is_passive() && is_passive(code) => self.passive(kind, shared),
            kind if kind.is_active() => self.active(positive, command, shared),
            _ if is_passive(code) => ServerEvent::Refused(Refusal::NoCommand),
            Kind::EpsvAll if !positive => {
                let refused = shared.epsv_all_refused.load();
                shared.epsv_all_refused.store(refused.wrapping_add(1));
                ServerEvent::None
            }
            Kind::Auth if code == code::AUTH_TLS => {
                shared.set(State::OPAQUE);
                self.records.start();
                // What was pipelined behind AUTH is discarded (RFC 4217 §12.3).
                self.tail = shared.fifo.head();
                ServerEvent::Opaque
            }
            Kind::Rein if positive => {
                shared.clear(State::LOGGED_IN);
                ServerEvent::Withdraw(Cause::Reinitialized)
            }
            Kind::Abor if positive => ServerEvent::Withdraw(Cause::Aborted),
            Kind::Quit if code == code::CLOSING => {
                shared.set(State::ENDED);
                ServerEvent::Withdraw(Cause::ControlClosed)
            }
            _ => ServerEvent::None,
        }
    }

    #[inline(always)]
    fn login(&mut self, code: u16, shared: &Shared) -> ServerEvent {
        match code {
            code::LOGGED_IN | code::LOGGED_IN_SECURE => {
                shared.set(State::LOGGED_IN);
                ServerEvent::LoggedIn
            }
            // RFC 959 §4.1.1: a new USER flushes the old login.
            code::NEED_PASSWORD | code::NEED_ACCOUNT => {
                shared.clear(State::LOGGED_IN);
                ServerEvent::None
            }
            _ => ServerEvent::None,
        }
    }

    #[inline(always)]
    fn passive(&mut self, kind: Kind, shared: &Shared) -> ServerEvent {
        let state = shared.state();
        let port = if kind == Kind::Spsv {
            self.reply.lone_port()
        } else {
            self.reply.port()
        };
        match (port, kind.negotiation()) {
            _ if !state.has(State::LOGGED_IN) || state.has(State::ENDED) => {
                ServerEvent::Refused(Refusal::NotLoggedIn)
            }
            _ if kind != Kind::Epsv && shared.epsv_only() => ServerEvent::Refused(Refusal::EpsvAll),
            (Err(refusal), _) => ServerEvent::Refused(self.line.fault().unwrap_or(refusal)),
            (Ok(_), _) if self.line.fault().is_some() => {
                ServerEvent::Refused(self.line.fault().unwrap_or(Refusal::TooLong))
            }
            (Ok(port), _) if port < LOWEST_PORT => ServerEvent::Refused(Refusal::LowPort),
            (Ok(port), Some(by)) => ServerEvent::ArmPassive { port, by },
            (Ok(_), None) => ServerEvent::None,
        }
    }

    #[inline(always)]
    fn active(&mut self, positive: bool, command: Outstanding, shared: &Shared) -> ServerEvent {
        let state = shared.state();
        match (command.port, command.kind.negotiation()) {
            (0, _) => ServerEvent::None,
            (port, _) if !positive && command.armed => ServerEvent::WithdrawActive { port },
            (port, Some(by)) if positive && !command.armed => {
                if state.has(State::LOGGED_IN) && !state.has(State::ENDED) {
                    ServerEvent::ArmActive { port, by }
                } else {
                    ServerEvent::Refused(Refusal::NotLoggedIn)
                }
            }
            _ => ServerEvent::None,
        }
    }
}

/// 230 and 232: the login succeeded.
#[inline(always)]
const fn is_login(code: u16) -> bool {
    matches!(code, code::LOGGED_IN | code::LOGGED_IN_SECURE)
}

/// 227, 228 and 229: what may arm (RFC 959, 1639, 2428).
#[inline(always)]
const fn is_passive(code: u16) -> bool {
    matches!(
        code,
        code::PASSIVE | code::LONG_PASSIVE | code::EXTENDED_PASSIVE
    )
}

/// Whether a command can have this reply at all. One that it cannot have is nobody's, and the
/// command stays outstanding: the server owes one reply more than it was seen to get commands.
#[inline(always)]
const fn plausible(code: u16, kind: Kind) -> bool {
    match kind {
        Kind::Pasv | Kind::Epsv | Kind::Lpsv | Kind::Spsv => is_passive(code) || code >= 400,
        Kind::Unknown => false,
        _ => true,
    }
}

/// The commands that alone can have a reply with this code.
#[inline(always)]
const fn answers(code: u16) -> Option<Class> {
    Some(match code {
        code::PASSIVE | code::LONG_PASSIVE | code::EXTENDED_PASSIVE => Class::Passive,
        code::LOGGED_IN | code::LOGGED_IN_SECURE | code::NEED_PASSWORD | code::NEED_ACCOUNT => {
            Class::Login
        }
        code::AUTH_TLS => Class::Auth,
        code::CLOSING => Class::Quit,
        _ => return None,
    })
}
