//! The text of a 229: `(<d><d><d>port<d>)` (RFC 2428 §3).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::reply::Candidate;
use crate::reason::Refusal;

const SEEK: u8 = 0;
const FIRST: u8 = 1;
const SECOND: u8 = 2;
const THIRD: u8 = 3;
const PORT: u8 = 4;

/// Looks for one port in the text of a 229, a byte at a time.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Extended {
    port: u32,
    state: u8,
    delimiter: u8,
    digits: u8,
    reserved: u8,
}

impl Extended {
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        self.state = SEEK;
    }

    /// Takes one byte of the text; a port goes to `candidate`.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8, candidate: &mut Candidate) {
        let delimiter = byte == self.delimiter;
        self.state = match self.state {
            _ if byte == b'(' && self.state != FIRST => FIRST,
            // RFC 2428 §3: any of ASCII 33-126; a digit could not be told from the port.
            FIRST if byte.is_ascii_graphic() && !byte.is_ascii_digit() => {
                self.delimiter = byte;
                SECOND
            }
            SECOND if delimiter => THIRD,
            THIRD if delimiter => {
                self.port = 0;
                self.digits = 0;
                PORT
            }
            PORT if byte.is_ascii_digit() && self.digits < 8 => {
                self.port = self.port * 10 + u32::from(byte - b'0');
                self.digits += 1;
                PORT
            }
            PORT if delimiter && self.digits > 0 => {
                candidate.offer(u16::try_from(self.port).map_err(|_| Refusal::Overflow));
                SEEK
            }
            _ => SEEK,
        };
    }
}
