//! Whole lines out of one direction of a control connection, for people to read.
//!
//! What the lines *mean* is the engine's business (`ftpfw_common::control`); this keeps their text
//! for logs and tables.

use ftpfw_common::stream::{Placement, Sequence, place};

/// Longer lines are shown cut off (RFC 959 has no limit; the engine refuses them beyond it too).
const LONGEST: usize = 512;

/// Puts lines together.
#[derive(Debug, Default)]
pub struct Lines {
    /// The byte that comes next; `None` before the first.
    next: Option<Sequence>,
    line: Vec<u8>,
    /// Bytes were lost: the rest of this line is no line.
    skipping: bool,
}

impl Lines {
    /// Takes bytes that begin at `sequence`, and calls `whole` with each line that they complete:
    /// without its end, and cut to 512 bytes.
    pub fn take(&mut self, sequence: Sequence, bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let skip = match place(self.next.unwrap_or(sequence), sequence, length) {
            Placement::Old => return,
            Placement::Next { skip } => skip as usize,
            Placement::Hole => {
                self.lose();
                0
            }
        };
        self.next = Some(sequence.plus(length));
        for &byte in &bytes[skip..] {
            match byte {
                b'\n' if self.skipping => self.skipping = false,
                b'\n' => {
                    whole(self.line.strip_suffix(b"\r").unwrap_or(&self.line));
                    self.line.clear();
                }
                _ if self.skipping || self.line.len() == LONGEST => {}
                _ => self.line.push(byte),
            }
        }
    }

    /// What was taken lately was nothing: a line begins with whatever comes.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Bytes were lost: nothing is a line before the next one begins.
    pub fn lose(&mut self) {
        self.line.clear();
        self.skipping = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(segments: &[(u32, &[u8])]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for (sequence, bytes) in segments {
            lines.take(Sequence(*sequence), bytes, |line| {
                found.push(String::from_utf8_lossy(line).into_owned());
            });
        }
        found
    }

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut() {
        let stream = b"USER alice\r\nPASS x\nPASV\r\n";
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            let second_at = 7_u32.wrapping_add(u32::try_from(cut).unwrap());
            assert_eq!(
                lines(&[(7, first), (second_at, second)]),
                ["USER alice", "PASS x", "PASV"]
            );
        }
    }

    #[test]
    fn the_sequence_wraps() {
        assert_eq!(lines(&[(u32::MAX - 1, b"US"), (0, b"ER a\n")]), ["USER a"]);
    }

    #[test]
    fn bytes_that_come_twice_count_once() {
        assert_eq!(
            lines(&[(10, b"USER"), (10, b"USER a\n"), (10, b"USER")]),
            ["USER a"]
        );
    }

    #[test]
    fn after_a_gap_the_next_line_is_the_first() {
        assert_eq!(
            lines(&[(0, b"USER al"), (90, b"ice\r\nNOOP\r\n")]),
            ["NOOP"]
        );
    }

    #[test]
    fn long_lines_are_cut_and_do_not_swallow_the_next() {
        let mut stream = vec![b'a'; 4000];
        stream.extend(b"\r\nNOOP\r\n");
        let found = lines(&[(0, &stream)]);
        assert_eq!((found[0].len(), found[1].as_str()), (512, "NOOP"));
    }
}
