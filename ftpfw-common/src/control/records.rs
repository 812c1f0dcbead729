//! TLS records (RFC 8446 §5.1), as far as it takes to notice their end: after CCC (RFC 4217 §11) the
//! control connection is plain text again, from a record boundary on and nowhere else.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// change_cipher_spec, alert, handshake, application_data, heartbeat.
const FIRST_TYPE: u8 = 20;
const LAST_TYPE: u8 = 24;
/// Bytes of type, version and length.
const HEADER: u8 = 5;
/// RFC 5246 §6.2.3: 2^14 of text and 2048 more for what protects it.
const MAX_LENGTH: u16 = (1 << 14) + 2048;

/// What a byte of an opaque stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// Part of a record, or of something that never was TLS: not to be read.
    Opaque,
    /// The first byte of plain text behind a record.
    Plain,
}

/// Where in its record a stream is.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Records {
    /// Bytes of the record that are still to come; while the header is read, its length so far.
    remaining: u16,
    /// Bytes of the header that were read.
    header: u8,
    /// 1: at least one whole record was seen.
    seen: u8,
    /// 1: the framing is lost; nothing is read any more.
    lost: u8,
    reserved: [u8; 3],
}

impl Records {
    /// The next byte is the first of a record.
    #[inline(always)]
    pub(super) fn start(&mut self) {
        *self = Self::default();
    }

    /// Bytes are missing: no boundary can be known any more.
    #[inline(always)]
    pub(super) fn lose(&mut self) {
        self.lost = 1;
    }

    /// Takes one byte.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) -> Framed {
        if self.lost != 0 {
            return Framed::Opaque;
        }
        match self.header {
            0 => {
                if !(FIRST_TYPE..=LAST_TYPE).contains(&byte) {
                    // Plain text behind AUTH was pipelined before the handshake: never to be read.
                    self.lost = u8::from(self.seen == 0);
                    return if self.seen == 0 {
                        Framed::Opaque
                    } else {
                        Framed::Plain
                    };
                }
                self.header = 1;
            }
            1 if byte != 3 => self.lost = 1,
            1..HEADER => {
                // Of version and length the length comes last, and 16 bits keep no more.
                self.remaining = self.remaining << 8 | u16::from(byte);
                self.header += 1;
                if self.header == HEADER {
                    self.begin_record();
                }
            }
            _ => {
                self.remaining = self.remaining.wrapping_sub(1);
                self.end_record();
            }
        }
        Framed::Opaque
    }

    #[inline(always)]
    fn begin_record(&mut self) {
        if self.remaining > MAX_LENGTH {
            self.lost = 1;
        }
        self.end_record();
    }

    #[inline(always)]
    fn end_record(&mut self) {
        if self.remaining == 0 {
            self.header = 0;
            self.seen = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Index of the first byte of plain text.
    fn plain_at(bytes: &[u8]) -> Option<usize> {
        let mut records = Records::default();
        bytes
            .iter()
            .position(|&byte| records.byte(byte) == Framed::Plain)
    }

    #[test]
    fn plain_text_begins_at_a_boundary_only() {
        assert_eq!(
            plain_at(b"\x16\x03\x03\x00\x02ab\x15\x03\x03\x00\x01xPASV"),
            Some(13)
        );
        assert_eq!(plain_at(b"\x17\x03\x03\x00\x06\n227 (PASV"), Some(11));
        assert_eq!(
            plain_at(b"\x17\x03\x03\x00\x40\n227 (10,0,0,1,195,80)\r\n"),
            None
        );
    }

    #[test]
    fn what_never_was_tls_is_never_read() {
        assert_eq!(plain_at(b"PASV\r\n\x16\x03\x03\x00\x00PASV"), None);
        assert_eq!(plain_at(b"\x16\x04\x03\x00\x00PASV"), None);
        assert_eq!(plain_at(b"\x16\x03\x03\xff\xffPASV"), None);
    }
}
