//! Lines of the control connection.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::reason::Refusal;

/// Longest line that may arm anything, bytes without the LF. No negotiation needs a fifth of it.
pub(super) const MAX_LINE: u16 = 512;

const TOO_LONG: u8 = 1;
const NUL: u8 = 1 << 1;
const PARTIAL: u8 = 1 << 2;
const TEXT: u8 = 1 << 3;

/// What a byte is to the line that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Part of the line; a CR in front of the LF included.
    Text(u8),
    /// The LF: some clients and servers send no CR.
    End,
}

/// Where in its line a stream is, and what is wrong with that line.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Line {
    length: u16,
    flags: u8,
    reserved: u8,
}

impl Line {
    /// Takes one byte of text. At [`Token::End`] ask [`Line::fault`], then [`Line::start`] the next.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) -> Token {
        if byte == b'\n' {
            return Token::End;
        }
        if byte == 0 {
            // CR NUL is a carriage return inside a line (RFC 854), and no line end.
            self.flags |= NUL;
        }
        if byte != b'\r' && byte != b' ' {
            self.flags |= TEXT;
        }
        if self.length >= MAX_LINE {
            self.flags |= TOO_LONG;
        } else {
            self.length += 1;
        }
        Token::Text(byte)
    }

    /// Why the line must arm nothing, if so.
    #[inline(always)]
    pub(super) const fn fault(&self) -> Option<Refusal> {
        if self.flags & PARTIAL != 0 {
            Some(Refusal::Desync)
        } else if self.flags & NUL != 0 {
            Some(Refusal::Nul)
        } else if self.flags & TOO_LONG != 0 {
            Some(Refusal::TooLong)
        } else {
            None
        }
    }

    /// Whether the line says nothing.
    #[inline(always)]
    pub(super) const fn is_blank(&self) -> bool {
        self.flags & TEXT == 0
    }

    /// Whether the line began before the follower looked.
    #[inline(always)]
    pub(super) const fn is_partial(&self) -> bool {
        self.flags & PARTIAL != 0
    }

    /// Begins the next line.
    #[inline(always)]
    pub(super) fn start(&mut self) {
        *self = Self::default();
    }

    /// Begins in the middle of a line: what comes before the next LF is only half of one.
    #[inline(always)]
    pub(super) fn start_partial(&mut self) {
        *self = Self {
            length: 0,
            flags: PARTIAL,
            reserved: 0,
        };
    }
}
