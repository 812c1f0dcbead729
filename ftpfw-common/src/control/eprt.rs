//! The argument of EPRT: `<d>af<d>address<d>port<d>` (RFC 2428 §2).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{address::Address, reason::Refusal};

const DELIMITER: u8 = 0;
const FAMILY: u8 = 1;
const FAMILY_END: u8 = 2;
const ADDRESS: u8 = 3;
const PORT: u8 = 4;
const DONE: u8 = 5;
const BROKEN: u8 = 6;

/// EPRT's argument under construction.
///
/// An IPv6 address is read into `head`, group by group, and after a `::` into `tail`, which each
/// group shifts to the left: head | tail is the address, whatever number of zeros `::` stands for.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Eprt {
    /// Groups in network order. For IPv4 the octets, as two groups.
    head: [u16; GROUPS],
    /// Four words of a number of 128 bits, the most significant first; host byte order.
    tail: [u32; 4],
    port: u32,
    /// The group being read, as hexadecimal and as decimal: only what follows tells which it is.
    hexadecimal: u16,
    decimal: u16,
    /// The octet before the one being read, in a dotted part.
    octet: u8,
    state: u8,
    delimiter: u8,
    /// b'1' or b'2'.
    family: u8,
    /// Groups read.
    count: u8,
    /// 1: `::` was read.
    gap: u8,
    /// Digits of the group or port being read.
    digits: u8,
    /// Colons in a row.
    colons: u8,
    /// Dots read.
    dots: u8,
    reserved: [u8; 3],
}

const GROUPS: usize = 8;

impl Eprt {
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    #[inline(always)]
    fn start_group(&mut self) {
        self.hexadecimal = 0;
        self.decimal = 0;
        self.digits = 0;
    }

    /// Takes one byte of the argument.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        self.state = match self.state {
            DELIMITER if byte == b' ' => DELIMITER,
            // RFC 2428 §2: any of ASCII 33-126; a digit could not be told from the family.
            DELIMITER if byte.is_ascii_graphic() && !byte.is_ascii_digit() => {
                self.delimiter = byte;
                FAMILY
            }
            FAMILY if byte == b'1' || byte == b'2' => {
                self.family = byte;
                FAMILY_END
            }
            FAMILY_END if byte == self.delimiter => ADDRESS,
            ADDRESS if byte == self.delimiter => self.end_address(),
            ADDRESS if self.family == b'1' => self.v4_byte(byte),
            ADDRESS => self.v6_byte(byte),
            PORT if byte == self.delimiter && self.digits > 0 => DONE,
            PORT if byte.is_ascii_digit() && self.digits < 6 => {
                self.port = self.port * 10 + u32::from(byte - b'0');
                self.digits += 1;
                PORT
            }
            DONE if byte == b' ' || byte == b'\r' => DONE,
            _ => BROKEN,
        };
    }

    /// Adds a group of 16 bits; one too many makes the argument worthless, wherever it went.
    #[inline(always)]
    fn push(&mut self, group: u16) -> bool {
        let [a, b, c, d] = self.tail;
        if self.gap == 0 {
            self.head[usize::from(self.count) % GROUPS] = group.to_be();
        } else {
            self.tail = [
                a << 16 | b >> 16,
                b << 16 | c >> 16,
                c << 16 | d >> 16,
                d << 16 | u32::from(group),
            ];
        }
        self.count += 1;
        usize::from(self.count) <= GROUPS
    }

    /// Ends a decimal octet; every second one completes a group.
    #[inline(always)]
    fn end_octet(&mut self, completes: bool) -> bool {
        let fits = self.digits > 0 && self.decimal <= 255;
        let octet = (self.decimal & 0xff) as u8;
        self.start_group();
        if completes {
            return fits && self.push(u16::from_be_bytes([self.octet, octet]));
        }
        self.octet = octet;
        fits
    }

    /// Ends a hexadecimal group.
    #[inline(always)]
    fn end_group(&mut self) -> bool {
        let group = self.hexadecimal;
        self.start_group();
        self.push(group)
    }

    #[inline(always)]
    fn decimal_digit(&mut self, byte: u8) -> bool {
        let digit = u16::from(byte.wrapping_sub(b'0'));
        // Past 999 the octet is too big already; the product cannot wrap below that.
        self.decimal = if self.decimal > 999 {
            1000
        } else {
            self.decimal * 10 + (digit & 0xf)
        };
        self.digits += 1;
        self.digits <= 4
    }

    #[inline(always)]
    fn v4_byte(&mut self, byte: u8) -> u8 {
        let valid = if byte == b'.' {
            self.dots += 1;
            self.dots <= 3 && self.end_octet(self.dots == 2)
        } else {
            byte.is_ascii_digit() && self.digits < 3 && self.decimal_digit(byte)
        };
        if valid { ADDRESS } else { BROKEN }
    }

    /// RFC 4291 §2.2: groups of up to four digits, one `::`, and a dotted IPv4 tail.
    #[inline(always)]
    fn v6_byte(&mut self, byte: u8) -> u8 {
        let valid = match byte {
            b':' if self.dots > 0 => false,
            b':' if self.colons == 0 => {
                self.colons = 1;
                // A leading colon is only right as half of `::`, which the next byte must show.
                self.digits == 0 && self.count == 0 || self.digits > 0 && self.end_group()
            }
            b':' if self.colons == 1 && self.gap == 0 => {
                self.colons = 2;
                self.gap = 1;
                true
            }
            b':' => false,
            b'.' => {
                self.colons = 0;
                self.dots += 1;
                self.dots <= 3 && self.end_octet(self.dots == 2)
            }
            _ => match hexadecimal_digit(byte) {
                // `:1` is no address: its colon has nothing before it.
                Some(_) if self.colons == 1 && self.count == 0 => false,
                Some(value) if self.digits < 4 => {
                    self.colons = 0;
                    self.hexadecimal = (self.hexadecimal << 4) | u16::from(value);
                    // With a letter in it, it is no octet of a dotted tail.
                    if value > 9 {
                        self.decimal = 1000;
                    }
                    self.decimal_digit(b'0' + value % 10)
                }
                _ => false,
            },
        };
        if valid { ADDRESS } else { BROKEN }
    }

    #[inline(always)]
    fn end_address(&mut self) -> u8 {
        let valid = if self.family == b'1' {
            self.dots == 3 && self.end_octet(true)
        } else {
            let last = match (self.dots, self.digits) {
                (0, 0) => self.colons == 2,
                (0, _) => self.end_group(),
                (3, _) => self.end_octet(true),
                _ => false,
            };
            last && (usize::from(self.count) == GROUPS) == (self.gap == 0)
        };
        self.start_group();
        if valid { PORT } else { BROKEN }
    }

    /// The address and port of a whole argument.
    #[inline(always)]
    pub(super) fn finish(&self) -> Result<(Address, u16), Refusal> {
        if self.state != DONE {
            return Err(Refusal::WrongNumber);
        }
        let Ok(port) = u16::try_from(self.port) else {
            return Err(Refusal::Overflow);
        };
        Ok((self.address(), port))
    }

    #[inline(always)]
    fn address(&self) -> Address {
        let [a, b, c, d, e, f, g, h] = self.head;
        let [s, t, u, v] = self.tail;
        if self.family == b'1' {
            return Address::v4_word(word(a, b));
        }
        Address::from_words([
            word(a, b) | s.to_be(),
            word(c, d) | t.to_be(),
            word(e, f) | u.to_be(),
            word(g, h) | v.to_be(),
        ])
    }
}

/// Two groups in network order as they lie in memory.
#[inline(always)]
const fn word(first: u16, second: u16) -> u32 {
    (u16::from_be(first) as u32 * 0x1_0000 + u16::from_be(second) as u32).to_be()
}

#[inline(always)]
const fn hexadecimal_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    fn parse(argument: &str) -> Result<(Address, u16), Refusal> {
        let mut eprt = Eprt::default();
        eprt.restart();
        argument.bytes().for_each(|byte| eprt.byte(byte));
        eprt.finish()
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn addresses_of_both_families() {
        for text in [
            "10.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd77:1:2::3:4",
            "1:2:3:4:5:6:7:8",
            "1::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::ffff:10.0.0.1",
            "64:ff9b::192.0.2.33",
            "1:2:3:4:5:6:1.2.3.4",
            "ABCD:ef01::",
        ] {
            let family = if text.contains(':') { 2 } else { 1 };
            let expected = Ok((address(text), 50_001));
            assert_eq!(
                parse(&format!("|{family}|{text}|50001|")),
                expected,
                "{text}"
            );
            assert_eq!(
                parse(&format!(" !{family}!{text}!50001! \r")),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for argument in [
            "",
            "|",
            "|1|",
            "|1|10.0.0.1|",
            "|1|10.0.0.1|50001",
            "|1|10.0.0|1|",
            "|1|10.0.0.1.2|1|",
            "|1|256.0.0.1|50001|",
            "|1|10.0.0.0001|50001|",
            "|3|10.0.0.1|50001|",
            "|1|10.0.0.1||",
            "|1|10..0.1|50001|",
            "|1|::1|50001|",
            "|2|10.0.0.1|50001|",
            "|2|:1|5|",
            "|2|1:|5|",
            "|2|1::2::3|5|",
            "|2|:::|5|",
            "|2|1:2:3:4:5:6:7:8:9|5|",
            "|2|1:2:3:4:5:6:7|5|",
            "|2|12345::|5|",
            "|2|g::|5|",
            "|2|::1.2.3|5|",
            "|2|::1.2.3.4.5|5|",
            "|2|::a.2.3.4|5|",
            "|2|1.2::3.4|5|",
            "|2|fe80::1%eth0|5|",
            "11110.0.0.115000111",
            "|1|10.0.0.1|-1|",
            "|1|10.0.0.1|5|x",
            "|2|1:2:3:4:5:6:7:8::|5|",
        ] {
            assert_eq!(parse(argument), Err(Refusal::WrongNumber), "{argument}");
        }
        assert_eq!(parse("|1|10.0.0.1|65536|"), Err(Refusal::Overflow));
    }
}
