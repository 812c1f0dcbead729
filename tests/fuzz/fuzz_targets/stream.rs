//! Segments in any order, with any overlap: what the engine sees is a prefix of the stream, each byte
//! once, as an obviously right model keeps it.
#![no_main]

use arbitrary::Arbitrary;
use ftpfw_common::stream::{Placement, Sequence, place};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    start: u32,
    /// Offset in the stream and length of each segment.
    segments: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let start = Sequence(input.start);
    let mut next = start;
    // The model: how many bytes from the start were taken, in order.
    let mut taken: u32 = 0;
    for (offset, length) in input.segments {
        let (offset, length) = (u32::from(offset), u32::from(length));
        match place(next, start.plus(offset), length) {
            Placement::Old => assert!(offset + length <= taken || length == 0),
            Placement::Hole => assert!(offset > taken),
            Placement::Next { skip } => {
                assert!(offset <= taken && skip == taken - offset && skip < length);
                taken = offset + length;
                next = start.plus(taken);
            }
        }
        assert_eq!(next.since(start), taken as i32);
    }
});
