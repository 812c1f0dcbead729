//! Telnet commands inside the control connection (RFC 959 §4.1.3, RFC 1123 §4.1.2.12, RFC 854).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;

const DATA: u8 = 0;
const COMMAND: u8 = 1;
const OPTION: u8 = 2;
const SUB: u8 = 3;
const SUB_COMMAND: u8 = 4;

/// Takes Telnet sequences out of a stream; they may be cut anywhere.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Telnet {
    state: u8,
}

impl Telnet {
    /// The byte of the text that `byte` is, or `None` when it belongs to a Telnet sequence.
    #[inline(always)]
    pub(super) fn text(&mut self, byte: u8) -> Option<u8> {
        let (state, text) = match (self.state, byte) {
            (DATA, IAC) => (COMMAND, None),
            // IAC IAC is the byte 255 itself (RFC 854).
            (COMMAND, IAC) => (DATA, Some(IAC)),
            (COMMAND, WILL..=DONT) => (OPTION, None),
            (COMMAND, SUBNEGOTIATION) => (SUB, None),
            (SUB, IAC) => (SUB_COMMAND, None),
            (SUB_COMMAND, SUBNEGOTIATION_END) => (DATA, None),
            (SUB | SUB_COMMAND, _) => (SUB, None),
            (COMMAND | OPTION, _) => (DATA, None),
            _ => (DATA, Some(byte)),
        };
        self.state = state;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<u8> {
        let mut telnet = Telnet::default();
        bytes.iter().filter_map(|&byte| telnet.text(byte)).collect()
    }

    #[test]
    fn sequences_vanish_wherever_they_stand() {
        assert_eq!(decode(b"\xff\xf4\xff\xf2ABOR"), b"ABOR");
        assert_eq!(decode(b"PO\xff\xf1RT"), b"PORT");
        assert_eq!(
            decode(b"A\xff\xfb\x01B\xff\xfa\x18\x00PASV\xff\xf0C"),
            b"ABC"
        );
        assert_eq!(decode(b"x\xff\xffy"), b"x\xffy");
    }
}
