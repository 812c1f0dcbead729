//! Decimal numbers separated by commas: the arguments of PORT and LPRT, the text of 227 and 228.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{address::Address, reason::Refusal};

const CAPACITY: usize = 32;
const OVERFLOW: u8 = 1;
/// Values over this are all alike: too big for a port.
const SATURATED: u32 = 1 << 20;

/// A run of numbers under construction.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Numbers {
    octets: [u8; CAPACITY],
    /// The number being read; the last one read after [`Numbers::close`].
    value: u32,
    /// Numbers completed, at most 255.
    count: u8,
    /// Digits of the number being read, at most 255.
    digits: u8,
    flags: u8,
    reserved: u8,
}

impl Numbers {
    /// Whether a comma was the last thing read: the run wants another number.
    #[inline(always)]
    pub(super) const fn wants_digit(&self) -> bool {
        self.digits == 0
    }

    /// Whether there is neither digit nor comma yet.
    #[inline(always)]
    pub(super) const fn is_empty(&self) -> bool {
        self.digits == 0 && self.count == 0
    }

    /// Takes an ASCII digit.
    #[inline(always)]
    pub(super) fn digit(&mut self, digit: u8) {
        let value = self.value * 10 + u32::from(digit.wrapping_sub(b'0') & 0x0f);
        self.value = if value > SATURATED { SATURATED } else { value };
        self.digits = self.digits.saturating_add(1);
    }

    /// Takes a comma.
    #[inline(always)]
    pub(super) fn comma(&mut self) {
        self.close();
        self.value = 0;
        self.digits = 0;
    }

    /// Completes the number being read.
    #[inline(always)]
    pub(super) fn close(&mut self) {
        // More than three digits are no octet, even with leading zeros.
        if self.value > 255 || self.digits > 3 {
            self.flags |= OVERFLOW;
        }
        self.octets[usize::from(self.count) & (CAPACITY - 1)] = (self.value & 0xff) as u8;
        self.count = self.count.saturating_add(1);
    }

    /// Begins a new run.
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        self.value = 0;
        self.count = 0;
        self.digits = 0;
        self.flags = 0;
    }

    /// `h1,h2,h3,h4,p1,p2` (RFC 959 §4.1.2) of a closed run: address and port.
    #[inline(always)]
    pub(super) fn host_port(&self) -> Result<([u8; 4], u16), Refusal> {
        let [a, b, c, d, p1, p2, ..] = self.octets;
        match self.count {
            6 if self.flags & OVERFLOW != 0 => Err(Refusal::Overflow),
            6 => Ok(([a, b, c, d], u16::from_be_bytes([p1, p2]))),
            _ => Err(Refusal::WrongNumber),
        }
    }

    /// `af,hal,h1..hn,pal,p1,p2` (RFC 1639 §2) of a closed run: address and port.
    #[inline(always)]
    pub(super) fn long_host_port(&self) -> Result<(Address, u16), Refusal> {
        if self.flags & OVERFLOW != 0 {
            return Err(Refusal::Overflow);
        }
        let o = &self.octets;
        match (self.count, o[0], o[1]) {
            (9, 4, 4) if o[6] == 2 => Ok((
                Address::v4([o[2], o[3], o[4], o[5]]),
                u16::from_be_bytes([o[7], o[8]]),
            )),
            (21, 6, 16) if o[18] == 2 => {
                let word = |at: usize| u32::from_ne_bytes([o[at], o[at + 1], o[at + 2], o[at + 3]]);
                let address = Address::from_words([word(2), word(6), word(10), word(14)]);
                Ok((address, u16::from_be_bytes([o[19], o[20]])))
            }
            _ => Err(Refusal::WrongNumber),
        }
    }

    /// A single number of a closed run, read as a port: what answers SPSV.
    #[inline(always)]
    pub(super) fn lone_port(&self) -> Result<u16, Refusal> {
        if self.count != 1 {
            Err(Refusal::WrongNumber)
        } else if self.value > 0xffff {
            Err(Refusal::Overflow)
        } else {
            Ok(self.value as u16)
        }
    }
}
