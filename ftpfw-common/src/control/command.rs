//! Command lines (RFC 959 §5.3) and the few whose meaning matters here.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{eprt::Eprt, numbers::Numbers};
use crate::{
    address::Address,
    reason::{Negotiation, Refusal},
};

/// What a command is to the firewall. Stable numbers: they are kept in [`super::Shared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Any command that negotiates nothing.
    Other = 0,
    /// USER, PASS, ACCT: may be answered by 230.
    Login = 1,
    /// PASV (RFC 959).
    Pasv = 2,
    /// EPSV (RFC 2428).
    Epsv = 3,
    /// LPSV (RFC 1639).
    Lpsv = 4,
    /// SPSV (a draft that some servers still answer).
    Spsv = 5,
    /// PORT (RFC 959).
    Port = 6,
    /// EPRT (RFC 2428).
    Eprt = 7,
    /// LPRT (RFC 1639).
    Lprt = 8,
    /// EPSV ALL (RFC 2428 §4).
    EpsvAll = 9,
    /// AUTH (RFC 2228, RFC 4217).
    Auth = 10,
    /// REIN.
    Rein = 11,
    /// ABOR.
    Abor = 12,
    /// QUIT.
    Quit = 13,
    /// CCC (RFC 2228, RFC 4217).
    Ccc = 14,
    /// Not a command: from here on the pairing is unknown, until a reply shows it again.
    Unknown = 15,
}

impl Kind {
    /// The kind stored as `byte`.
    #[inline(always)]
    #[must_use]
    pub const fn from_u8(byte: u8) -> Self {
        match byte {
            1 => Self::Login,
            2 => Self::Pasv,
            3 => Self::Epsv,
            4 => Self::Lpsv,
            5 => Self::Spsv,
            6 => Self::Port,
            7 => Self::Eprt,
            8 => Self::Lprt,
            9 => Self::EpsvAll,
            10 => Self::Auth,
            11 => Self::Rein,
            12 => Self::Abor,
            13 => Self::Quit,
            14 => Self::Ccc,
            15 => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// The negotiation that this command starts.
    #[inline(always)]
    #[must_use]
    pub const fn negotiation(self) -> Option<Negotiation> {
        Some(match self {
            Self::Pasv => Negotiation::Pasv,
            Self::Epsv => Negotiation::Epsv,
            Self::Lpsv => Negotiation::Lpsv,
            Self::Spsv => Negotiation::Spsv,
            Self::Port => Negotiation::Port,
            Self::Eprt => Negotiation::Eprt,
            Self::Lprt => Negotiation::Lprt,
            _ => return None,
        })
    }

    /// Whether the command asks the server to listen.
    #[inline(always)]
    #[must_use]
    pub const fn is_passive(self) -> bool {
        matches!(self, Self::Pasv | Self::Epsv | Self::Lpsv | Self::Spsv)
    }

    /// Whether the command tells the server where to dial.
    #[inline(always)]
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Port | Self::Eprt | Self::Lprt)
    }
}

/// Letters of a verb, upper case, as a big-endian number.
const fn verb(letters: &[u8]) -> u32 {
    let mut packed = 0;
    let mut at = 0;
    while at < letters.len() {
        packed = packed << 8 | letters[at] as u32;
        at += 1;
    }
    packed
}

/// What a verb of four letters at most means.
#[inline(always)]
const fn kind(packed: u32) -> Kind {
    const USER: u32 = verb(b"USER");
    const PASS: u32 = verb(b"PASS");
    const ACCT: u32 = verb(b"ACCT");
    const PASV: u32 = verb(b"PASV");
    const EPSV: u32 = verb(b"EPSV");
    const LPSV: u32 = verb(b"LPSV");
    const SPSV: u32 = verb(b"SPSV");
    const PORT: u32 = verb(b"PORT");
    const EPRT: u32 = verb(b"EPRT");
    const LPRT: u32 = verb(b"LPRT");
    const AUTH: u32 = verb(b"AUTH");
    const REIN: u32 = verb(b"REIN");
    const ABOR: u32 = verb(b"ABOR");
    const QUIT: u32 = verb(b"QUIT");
    const CCC: u32 = verb(b"CCC");
    match packed {
        USER | PASS | ACCT => Kind::Login,
        PASV => Kind::Pasv,
        EPSV => Kind::Epsv,
        LPSV => Kind::Lpsv,
        SPSV => Kind::Spsv,
        PORT => Kind::Port,
        EPRT => Kind::Eprt,
        LPRT => Kind::Lprt,
        AUTH => Kind::Auth,
        REIN => Kind::Rein,
        ABOR => Kind::Abor,
        QUIT => Kind::Quit,
        CCC => Kind::Ccc,
        _ => Kind::Other,
    }
}

const ALL: u32 = verb(b"ALL");

/// A command line, by what is expected next.
const VERB: u8 = 0;
const SPACE: u8 = 1;
const ARGUMENT: u8 = 2;
/// The numbers of PORT or LPRT are over.
const TRAILER: u8 = 3;
/// What comes now belongs to no command that matters.
const IGNORED: u8 = 4;

/// Reads command lines a byte at a time.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Command {
    numbers: Numbers,
    eprt: Eprt,
    /// Letters of the verb, then of EPSV's argument.
    letters: u32,
    state: u8,
    kind: u8,
    /// 1: the argument is not what the RFC asks for.
    broken: u8,
    reserved: u8,
}

impl Command {
    /// Begins a line.
    #[inline(always)]
    pub(super) fn start_line(&mut self) {
        self.letters = 0;
        self.state = VERB;
        self.kind = Kind::Other as u8;
        self.broken = 0;
    }

    /// Takes one byte of the line.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        match self.state {
            VERB => self.verb_byte(byte),
            SPACE if byte == b' ' => {}
            SPACE | ARGUMENT => {
                self.state = ARGUMENT;
                self.argument_byte(byte);
            }
            // Clients send `PORT h,h,h,h,p,p ` too; anything else behind it is not understood.
            TRAILER if byte != b' ' && byte != b'\r' => self.broken = 1,
            _ => {}
        }
    }

    #[inline(always)]
    fn verb_byte(&mut self, byte: u8) {
        if byte.is_ascii_alphabetic() && self.letters >> 24 == 0 {
            // RFC 959 §5.3: upper and lower case are the same.
            self.letters = self.letters << 8 | u32::from(byte.to_ascii_uppercase());
            return;
        }
        let kind = kind(self.letters);
        (self.kind, self.state) = match byte {
            b' ' => (kind as u8, SPACE),
            b'\r' => (kind as u8, TRAILER),
            _ => (Kind::Other as u8, IGNORED),
        };
        self.letters = 0;
        self.numbers.restart();
        self.eprt.restart();
    }

    #[inline(always)]
    fn argument_byte(&mut self, byte: u8) {
        match Kind::from_u8(self.kind) {
            Kind::Port | Kind::Lprt => self.number_byte(byte),
            Kind::Eprt => self.eprt.byte(byte),
            Kind::Epsv if byte.is_ascii_alphanumeric() => {
                self.letters = self.letters << 8 | u32::from(byte.to_ascii_uppercase());
            }
            _ => {}
        }
    }

    #[inline(always)]
    fn number_byte(&mut self, byte: u8) {
        match byte {
            b'0'..=b'9' => self.numbers.digit(byte),
            b',' if !self.numbers.wants_digit() => self.numbers.comma(),
            b' ' | b'\r' if !self.numbers.wants_digit() => self.state = TRAILER,
            _ => self.broken = 1,
        }
    }

    /// Ends the line: what it was.
    #[inline(always)]
    pub(super) fn end_line(&mut self) -> Kind {
        if self.state == VERB {
            // No space and no CR: a bare LF ended the verb.
            self.kind = kind(self.letters) as u8;
            self.letters = 0;
            self.numbers.restart();
            self.eprt.restart();
        }
        match Kind::from_u8(self.kind) {
            Kind::Pasv | Kind::Lpsv | Kind::Spsv if self.broken != 0 => Kind::Other,
            Kind::Epsv if self.broken != 0 => Kind::Other,
            Kind::Epsv if self.letters == ALL => Kind::EpsvAll,
            kind => kind,
        }
    }

    /// Where PORT, EPRT or LPRT wants the server to dial.
    #[inline(always)]
    pub(super) fn host_port(&mut self) -> Result<(Address, u16), Refusal> {
        if Kind::from_u8(self.kind) == Kind::Eprt {
            return self.eprt.finish();
        }
        if self.broken != 0 || self.numbers.wants_digit() {
            return Err(Refusal::WrongNumber);
        }
        self.numbers.close();
        if Kind::from_u8(self.kind) == Kind::Lprt {
            self.numbers.long_host_port()
        } else {
            self.numbers
                .host_port()
                .map(|(octets, port)| (Address::v4(octets), port))
        }
    }
}
