//! What is done to dialogues at random.

use ftpfw_common::{
    Address,
    abi::event::Direction,
    stream::{Placement, Sequence, place},
};
use ftpfw_tests::random::Random;

use crate::{
    grammar::Script,
    segment::{End, Segment},
};

/// A dialogue as segments that a network, or an attacker, made of it.
pub struct Dialogue {
    pub client: Address,
    /// The connection was used before.
    pub used: bool,
    pub segments: Vec<Segment>,
}

impl Dialogue {
    pub fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let script = Script::new(random);
        let mut segments = cut(random, &script.steps);
        mangle(random, &mut segments);
        finish(random, &mut segments);
        Self {
            client: script.client,
            used: script.used,
            segments,
        }
    }
}

/// Most bytes of a segment: with bytes of the one before in front, it still fits into the one page
/// that a test run takes.
const SEGMENT: usize = 1460;

/// In order and whole, cut and joined as TCP may.
fn cut(random: &mut Random, steps: &[(Direction, Vec<u8>)]) -> Vec<Segment> {
    let mut next = [(); 2].map(|()| Sequence(start(random)));
    let mut segments: Vec<Segment> = Vec::new();
    for (direction, bytes) in steps {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = match random.below(10) {
                0 => 1,
                1..4 => 1 + random.below(rest.len()),
                _ => rest.len(),
            }
            .min(SEGMENT);
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            let (here, there) = match direction {
                Direction::Client => (0, 1),
                Direction::Server => (1, 0),
            };
            let (sequence, acknowledgment) = (next[here], next[there]);
            next[here] = sequence.plus(length as u32);
            match segments.last_mut() {
                Some(last)
                    if last.direction == *direction
                        && last.bytes.len() + length <= SEGMENT
                        && random.chance(20) =>
                {
                    last.bytes.extend(piece);
                }
                _ => segments.push(Segment {
                    direction: *direction,
                    sequence,
                    acknowledgment,
                    bytes: piece.to_vec(),
                    end: End::Open,
                    damaged: false,
                }),
            }
        }
    }
    segments
}

/// Where a stream starts: often shortly before its numbers wrap.
fn start(random: &mut Random) -> u32 {
    let number = random.number() as u32;
    if random.chance(50) {
        number | 0xffff_ff00
    } else {
        number
    }
}

/// Copies, overlaps, holes, wrong orders and damage, in one dialogue of two.
fn mangle(random: &mut Random, segments: &mut Vec<Segment>) {
    if random.chance(50) {
        return;
    }
    let mut at = 1;
    while at < segments.len() {
        match random.below(40) {
            0 => {
                let copy = segments[at].clone();
                segments.insert(at + 1, copy);
            }
            1 => {
                let old = segments[random.below(at)].clone();
                segments.insert(at, old);
            }
            2 => reach_back(random, segments, at),
            3 => {
                let mut other = segments[at].clone();
                scramble(random, &mut other.bytes);
                segments.insert(at + 1, other);
            }
            4 => {
                segments.remove(at);
            }
            5 if at + 1 < segments.len() => segments.swap(at, at + 1),
            6 if segments[at].direction == Direction::Client => {
                let mut lie = segments[at].clone();
                scramble(random, &mut lie.bytes);
                lie.damaged = true;
                segments.insert(at, lie);
            }
            7 => {
                // Lost, and sent again after what came next.
                let again = segments[at].clone();
                let later = (at + 1 + random.below(3)).min(segments.len());
                segments.insert(later, again);
                segments.remove(at);
            }
            8 => {
                let stale = random.below(40) as u32;
                let acknowledged = &mut segments[at].acknowledgment;
                *acknowledged = Sequence(acknowledged.0.wrapping_sub(stale));
            }
            _ => {}
        }
        at += 1;
    }
}

/// Puts bytes of the segment before, or others in their place, in front of this one.
fn reach_back(random: &mut Random, segments: &mut [Segment], at: usize) {
    let (before, from) = segments.split_at_mut(at);
    let this = &mut from[0];
    let adjoins = |it: &&Segment| it.direction == this.direction && it.next() == this.sequence;
    let Some(previous) = before.iter().rev().find(adjoins) else {
        return;
    };
    let length = 1 + random.below(previous.bytes.len());
    let mut bytes = previous.bytes[previous.bytes.len() - length..].to_vec();
    if random.chance(50) {
        scramble(random, &mut bytes);
        bytes.truncate(length);
    }
    this.sequence = Sequence(this.sequence.0.wrapping_sub(bytes.len() as u32));
    bytes.append(&mut this.bytes);
    this.bytes = bytes;
}

/// Other bytes, not always as many.
pub fn scramble(random: &mut Random, bytes: &mut Vec<u8>) {
    const TELLING: &[u8] = b"\r\n\0\xff\xfb\xf4 ,-|()0192227PORTpasv\x16\x17\x03";
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let byte = match random.chance(80) {
            true => TELLING[random.below(TELLING.len())],
            false => random.byte(),
        };
        match random.below(3) {
            0 if bytes.len() > 1 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            _ if !bytes.is_empty() => bytes[at] = byte,
            _ => {}
        }
    }
}

/// The end of the connection, in one dialogue of two: right, or not quite.
fn finish(random: &mut Random, segments: &mut Vec<Segment>) {
    if random.chance(50) {
        return;
    }
    let direction = match random.chance(50) {
        true => Direction::Client,
        false => Direction::Server,
    };
    let of = |it: &&Segment| it.direction == direction && !it.damaged;
    let ends = segments
        .iter()
        .filter(of)
        .map(|it| (it.next(), it.acknowledgment));
    // Behind the last byte of all, whatever came last.
    let Some((next, acknowledgment)) = ends.reduce(|one, other| {
        let is_later = place(one.0, other.0, 0) == Placement::Hole;
        if is_later { other } else { one }
    }) else {
        return;
    };
    let off = match random.chance(30) {
        true => random.below(5) as u32,
        false => 0,
    };
    segments.push(Segment {
        direction,
        sequence: next.plus(off),
        acknowledgment,
        bytes: Vec::new(),
        end: match random.chance(50) {
            true => End::Fin,
            false => End::Reset,
        },
        damaged: false,
    });
}
