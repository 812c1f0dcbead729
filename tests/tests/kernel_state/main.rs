//! The kernel's own socket table is the flow table: in each of its states, and where it is asked in
//! another way than usual.

mod cookies;
mod dual_stack;
mod time_wait;

use ftpfw_tests::ghost::Segment;
use ftpfw_tests::lab::Family;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const MSS: u16 = 1400;

/// A segment of a connection of which nothing else is known.
fn segment<'a>(flags: &'a str, sequence: u32, acknowledgment: u32) -> Segment<'a> {
    Segment {
        flags,
        sequence,
        acknowledgment,
        window: 1000,
        options: &[],
        payload: &[],
    }
}
