//! Frames made from those of the table, each step a lie that a sender might tell.

use ftpfw_tests::{
    packets::{
        ETHERNET, Extension, IPV4, IPV6, SERVICE_VLAN, VLAN, as_fragment, tagged, with_extensions,
        with_ipv4_options, with_u16,
    },
    random::Random,
};

use crate::world::{
    BEGUN, CLOSED, EXPIRED, FLOW_FROM, FORWARDED, OPEN_BOTH, OPEN_TCP, OPEN_UDP, SERVICE, SHARED,
    TUPLE,
};

/// The shortest frame of a test run.
const SHORTEST: usize = ETHERNET;
/// The longest one; no header chain leaves the first buffer.
const LONGEST: usize = 1600;
/// Where headers are.
const HEADERS: usize = 90;
/// EtherTypes, protocol numbers, lengths, and what overflows.
const TELLING: &[u8] = &[
    0, 1, 2, 4, 5, 6, 8, 17, 20, 40, 43, 44, 50, 51, 58, 59, 60, 0x45, 0x46, 0x4f, 0x50, 0x60,
    0x7f, 0x80, 0x81, 0x86, 0x88, 0xa8, 0xdd, 0xf0, 0xff,
];
const TYPES: &[u16] = &[0x0800, 0x86dd, VLAN, SERVICE_VLAN, 0x0806, 0x9100, 46];
const PORTS: &[u16] = &[
    0,
    20,
    21,
    53,
    990,
    1023,
    1024,
    OPEN_TCP,
    OPEN_UDP,
    OPEN_BOTH,
    SERVICE,
    FLOW_FROM,
    CLOSED,
    TUPLE,
    EXPIRED,
    FORWARDED,
    FORWARDED + 1,
    SHARED,
    BEGUN,
    65_535,
];

pub struct Mutator {
    frames: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(mut frames: Vec<Vec<u8>>) -> Self {
        frames.retain(|frame| frame.len() <= LONGEST);
        Self { frames }
    }

    pub fn frame(&self, seed: u64) -> Vec<u8> {
        let random = &mut Random::new(seed);
        let mut frame = match random.below(20) {
            0 => noise(random),
            _ => self.known(random).clone(),
        };
        for _ in 0..random.below(5) {
            frame = self.mutate(random, frame);
            frame.resize(frame.len().clamp(SHORTEST, LONGEST), 0);
        }
        frame
    }

    fn known(&self, random: &mut Random) -> &Vec<u8> {
        &self.frames[random.below(self.frames.len())]
    }

    fn mutate(&self, random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
        let at = place(random, &frame);
        match random.below(14) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = TELLING[random.below(TELLING.len())],
            2 => frame[at] = random.byte(),
            3 => {
                let count = 1 + random.below(8);
                let bytes: Vec<_> = (0..count).map(|_| random.byte()).collect();
                frame.splice(at..at, bytes);
            }
            4 => {
                let end = (at + 1 + random.below(8)).min(frame.len());
                frame.drain(at..end);
            }
            5 => frame.truncate(at),
            6 => frame.resize(frame.len() + 1 + random.below(64), random.byte()),
            7 => return length(random, frame),
            8 => {
                let tags = [VLAN, SERVICE_VLAN];
                return tagged(&frame, &tags[random.below(2)..][..1]);
            }
            9 => return with_u16(frame, ETHERNET - 2, TYPES[random.below(TYPES.len())]),
            10 => return header(random, frame),
            11 => return transport(random, frame),
            12 => {
                // Of another packet, at the same place: addresses, ports, a whole header.
                let other = self.known(random);
                let end = (at + 1 + random.below(24))
                    .min(frame.len())
                    .min(other.len());
                if at < end {
                    frame[at..end].copy_from_slice(&other[at..end]);
                }
            }
            _ => {
                let (offset, more) = (random.below(6), random.chance(50));
                if is_v4(&frame) {
                    return as_fragment(frame, offset as u16, more);
                }
            }
        }
        frame
    }
}

fn noise(random: &mut Random) -> Vec<u8> {
    let length = SHORTEST + random.below(120);
    let mut frame: Vec<_> = (0..length).map(|_| random.byte()).collect();
    if random.chance(80) {
        let ethertype = TYPES[random.below(TYPES.len())];
        frame = with_u16(frame, ETHERNET - 2, ethertype);
        if let Some(version) = frame.get_mut(ETHERNET) {
            *version = if random.chance(50) { 0x45 } else { 0x60 };
        }
    }
    frame
}

/// Most often in the headers.
fn place(random: &mut Random, frame: &[u8]) -> usize {
    let end = match random.chance(90) {
        true => frame.len().min(HEADERS),
        false => frame.len(),
    };
    random.below(end)
}

fn is_v4(frame: &[u8]) -> bool {
    frame[ETHERNET - 2..ETHERNET] == [0x08, 0x00] && frame.len() >= ETHERNET + IPV4
}

fn is_v6(frame: &[u8]) -> bool {
    frame[ETHERNET - 2..ETHERNET] == [0x86, 0xdd] && frame.len() >= ETHERNET + IPV6
}

/// The IP length: true again, nearly, or not at all.
fn length(random: &mut Random, frame: Vec<u8>) -> Vec<u8> {
    let (field, header) = match (is_v4(&frame), is_v6(&frame)) {
        (true, _) => (ETHERNET + 2, 0),
        (_, true) => (ETHERNET + 4, IPV6),
        _ => return frame,
    };
    let right = (frame.len() - ETHERNET - header) as u16;
    let length = match random.below(6) {
        0 => 0,
        1 => random.number() as u16,
        2 => right.wrapping_sub(random.below(30) as u16),
        3 => right.wrapping_add(random.below(30) as u16),
        _ => right,
    };
    with_u16(frame, field, length)
}

/// More between Ethernet and TCP.
fn header(random: &mut Random, frame: Vec<u8>) -> Vec<u8> {
    if is_v4(&frame) {
        let words = 1 + random.below(10) as u8;
        return with_ipv4_options(&frame, words);
    }
    if !is_v6(&frame) {
        return frame;
    }
    let extension = |random: &mut Random| match random.below(6) {
        0 => Extension::authentication(),
        1 => Extension::fragment(random.below(4) as u16, random.chance(50)),
        2 => Extension::options(43, 1),
        3 => Extension::options(0, 1 + random.below(3) as u8),
        _ => Extension::options(60, 1 + random.below(3) as u8),
    };
    let most = if random.chance(20) { 9 } else { 2 };
    let count = 1 + random.below(most);
    let chain: Vec<_> = (0..count).map(|_| extension(random)).collect();
    with_extensions(&frame, &chain)
}

/// A port, the flags or the data offset, where they are in a packet without options.
fn transport(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    let at = match (is_v4(&frame), is_v6(&frame)) {
        (true, _) => ETHERNET + IPV4,
        (_, true) => ETHERNET + IPV6,
        _ => return frame,
    };
    if frame.len() < at + 14 {
        return frame;
    }
    match random.below(4) {
        0 | 1 => with_u16(frame, at + 2, PORTS[random.below(PORTS.len())]),
        2 => {
            const FLAGS: [u8; 8] = [0x02, 0x10, 0x12, 0x18, 0x11, 0x04, 0x14, 0x00];
            frame[at + 13] = FLAGS[random.below(FLAGS.len())];
            frame
        }
        _ => {
            frame[at + 12] = random.byte();
            frame
        }
    }
}
