//! Reply lines (RFC 959 §4.2) and the port that one announces.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{extended::Extended, numbers::Numbers};
use crate::reason::Refusal;

/// Codes that the engine tells apart (RFC 959 §5.4, RFC 1639, RFC 2428, RFC 4217).
pub(super) mod code {
    pub const SERVICE_READY: u16 = 220;
    pub const CLOSING: u16 = 221;
    pub const PASSIVE: u16 = 227;
    pub const LONG_PASSIVE: u16 = 228;
    pub const EXTENDED_PASSIVE: u16 = 229;
    pub const LOGGED_IN: u16 = 230;
    pub const LOGGED_IN_SECURE: u16 = 232;
    pub const AUTH_TLS: u16 = 234;
    pub const NEED_PASSWORD: u16 = 331;
    pub const NEED_ACCOUNT: u16 = 332;
    pub const UNAVAILABLE: u16 = 421;
}

const NOTHING: u8 = 0;
const FOUND: u8 = 1;
const REFUSED: u8 = 2;

/// The port that the reply under way announces, if any.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Candidate {
    /// The port, or the [`Refusal`] as a number.
    number: u32,
    state: u8,
    reserved: [u8; 3],
}

impl Candidate {
    /// A place in the text that reads as a port, or nearly so. Two that disagree are one too many:
    /// clients differ on which they take.
    #[inline(always)]
    pub(super) fn offer(&mut self, offered: Result<u16, Refusal>) {
        let (state, number) = match offered {
            Ok(port) if self.state == FOUND && self.number != u32::from(port) => {
                (REFUSED, Refusal::WrongNumber as u32)
            }
            // What was too big stays so: a second, smaller number does not heal it.
            _ if self.state == REFUSED => return,
            Ok(port) => (FOUND, u32::from(port)),
            Err(refusal) => (REFUSED, refusal as u32),
        };
        self.state = state;
        self.number = number;
    }

    #[inline(always)]
    pub(super) fn port(&self) -> Result<u16, Refusal> {
        match self.state {
            FOUND => Ok(self.number as u16),
            REFUSED if self.number == Refusal::Overflow as u32 => Err(Refusal::Overflow),
            _ => Err(Refusal::WrongNumber),
        }
    }
}

/// Which text a port is looked for in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    Nothing,
    Commas,
    Delimiters,
}

/// A reply line, by what is expected next.
const CODE: u8 = 0;
const SEPARATOR: u8 = 1;
const FINAL_TEXT: u8 = 2;
const OPENING_TEXT: u8 = 3;
/// Text inside a multi-line reply, or no reply at all.
const OTHER_TEXT: u8 = 4;

/// What a whole line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyLine {
    /// The only or last line of a reply with this code.
    Final(u16),
    /// Anything else: the opening or the inside of a multi-line reply, or junk.
    Other,
}

/// Reads replies a byte at a time.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Reply {
    numbers: Numbers,
    extended: Extended,
    candidate: Candidate,
    /// Code of the line, as far as it is read.
    code: u16,
    /// Code of the multi-line reply that is open; 0 for none.
    open: u16,
    state: u8,
    digits: u8,
    reserved: u16,
}

impl Reply {
    /// Begins a line; an open multi-line reply stays open.
    #[inline(always)]
    pub(super) fn start_line(&mut self) {
        self.state = CODE;
        self.code = 0;
        self.digits = 0;
    }

    /// Forgets an open multi-line reply: the stream was lost.
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        self.open = 0;
        self.start_line();
    }

    /// Takes one byte of the line.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        match self.state {
            CODE => self.code_byte(byte),
            SEPARATOR => self.state = self.separator(byte),
            FINAL_TEXT => self.text(byte),
            _ => {}
        }
    }

    #[inline(always)]
    fn code_byte(&mut self, byte: u8) {
        // RFC 959 §4.2: three digits, the first 1 to 5; RFC 2228 adds 6.
        let valid = match self.digits {
            0 => matches!(byte, b'1'..=b'6'),
            _ => byte.is_ascii_digit(),
        };
        if !valid {
            self.state = OTHER_TEXT;
            return;
        }
        self.code = self.code * 10 + u16::from(byte - b'0');
        self.digits += 1;
        if self.digits == 3 {
            self.state = SEPARATOR;
        }
    }

    #[inline(always)]
    fn separator(&mut self, byte: u8) -> u8 {
        // RFC 959 §4.2: a multi-line reply ends with its own code and a space, and with nothing else.
        if self.open != 0 && (self.code != self.open || byte != b' ') {
            return OTHER_TEXT;
        }
        match byte {
            b' ' | b'\r' => {
                self.candidate = Candidate::default();
                self.numbers.restart();
                self.extended.restart();
                FINAL_TEXT
            }
            b'-' => OPENING_TEXT,
            _ => OTHER_TEXT,
        }
    }

    #[inline(always)]
    const fn scan(&self) -> Scan {
        match self.code {
            code::PASSIVE | code::LONG_PASSIVE => Scan::Commas,
            code::EXTENDED_PASSIVE => Scan::Delimiters,
            _ => Scan::Nothing,
        }
    }

    #[inline(always)]
    fn text(&mut self, byte: u8) {
        match self.scan() {
            Scan::Nothing => {}
            Scan::Commas => self.comma_text(byte),
            Scan::Delimiters => self.extended.byte(byte, &mut self.candidate),
        }
    }

    /// RFC 1123 §4.1.2.6: no parentheses can be counted on, the numbers are looked for.
    #[inline(always)]
    fn comma_text(&mut self, byte: u8) {
        match byte {
            b'0'..=b'9' => self.numbers.digit(byte),
            b',' if !self.numbers.wants_digit() => self.numbers.comma(),
            _ => self.end_run(),
        }
    }

    /// A run of numbers ends; a shorter or longer one than asked for is text.
    #[inline(always)]
    fn end_run(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        if !self.numbers.wants_digit() {
            self.numbers.close();
            let found = if self.code == code::PASSIVE {
                self.numbers.host_port().map(|(_, port)| port)
            } else {
                self.numbers.long_host_port().map(|(_, port)| port)
            };
            if found != Err(Refusal::WrongNumber) {
                self.candidate.offer(found);
            }
        }
        // Kept for SPSV, whose 227 has one number: see `lone_port`.
        if self.candidate.state == NOTHING && self.numbers.lone_port().is_ok() {
            self.candidate.number = self.numbers.lone_port().map_or(0, u32::from);
        }
        self.numbers.restart();
    }

    /// Ends the line.
    #[inline(always)]
    pub(super) fn end_line(&mut self) -> ReplyLine {
        match self.state {
            // `200` and a bare LF.
            SEPARATOR if self.open == 0 => {
                self.candidate = Candidate::default();
                ReplyLine::Final(self.code)
            }
            FINAL_TEXT => {
                if self.scan() == Scan::Commas {
                    self.end_run();
                }
                self.open = 0;
                ReplyLine::Final(self.code)
            }
            OPENING_TEXT => {
                self.open = self.code;
                ReplyLine::Other
            }
            _ => ReplyLine::Other,
        }
    }

    /// The port that the final line announced.
    #[inline(always)]
    pub(super) fn port(&self) -> Result<u16, Refusal> {
        self.candidate.port()
    }

    /// The lone number that a 227 to SPSV announced, or what [`Reply::port`] says.
    #[inline(always)]
    pub(super) fn lone_port(&self) -> Result<u16, Refusal> {
        if self.code == code::PASSIVE
            && self.candidate.state == NOTHING
            && self.candidate.number != 0
        {
            Ok(self.candidate.number as u16)
        } else {
            self.port()
        }
    }
}
