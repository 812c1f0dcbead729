//! What a client said lately, to hold a second copy of it against.

use std::collections::VecDeque;

use ftpfw_common::stream::Sequence;

/// Bytes that are remembered: what a client may still have to retransmit is rarely more.
const CAPACITY: usize = 4096;

/// The last bytes of one stream.
#[derive(Debug, Default)]
pub struct History {
    bytes: VecDeque<u8>,
    /// Sequence number behind the last of them.
    end: Option<Sequence>,
}

impl History {
    /// Remembers bytes that begin at `sequence`.
    pub fn push(&mut self, sequence: Sequence, bytes: &[u8]) {
        if self.end.is_some_and(|end| end != sequence) {
            self.bytes.clear();
        }
        self.bytes.extend(bytes);
        let surplus = self.bytes.len().saturating_sub(CAPACITY);
        self.bytes.drain(..surplus);
        self.end = Some(sequence.plus(u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
    }

    /// Whether a second copy that begins at `sequence` differs from what is remembered. A single byte
    /// is let be: keep-alive probes carry any (RFC 9293 §3.8.4).
    #[must_use]
    pub fn contradicts(&self, sequence: Sequence, copy: &[u8]) -> bool {
        let Some(end) = self.end else { return false };
        if copy.len() < 2 {
            return false;
        }
        let behind = i64::from(end.since(sequence));
        let Ok(length) = i64::try_from(self.bytes.len()) else {
            return false;
        };
        copy.iter().zip(0..).any(|(byte, offset)| {
            let at = length - behind + offset;
            usize::try_from(at)
                .ok()
                .and_then(|at| self.bytes.get(at))
                .is_some_and(|seen| seen != byte)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_text_contradicts() {
        let mut history = History::default();
        assert!(!history.contradicts(Sequence(0), b"anything"));
        history.push(Sequence(u32::MAX - 2), b"USER");
        history.push(Sequence(1), b" me\r\n");
        assert!(!history.contradicts(Sequence(u32::MAX - 2), b"USER me\r\n"));
        assert!(!history.contradicts(Sequence(u32::MAX - 9), b"before USER"));
        assert!(
            !history.contradicts(Sequence(2), b"me\r\nPASS"),
            "what is behind is not known"
        );
        assert!(history.contradicts(Sequence(2), b"ma\r\n"));
        assert!(
            !history.contradicts(Sequence(2), b"x"),
            "a keep-alive probe"
        );
        history.push(Sequence(100), b"PASV\r\n");
        assert!(
            !history.contradicts(Sequence(2), b"ma\r\n"),
            "forgotten with the gap"
        );
    }

    #[test]
    fn little_is_remembered() {
        let mut history = History::default();
        history.push(Sequence(0), &[1; CAPACITY]);
        history.push(Sequence(4096), &[2; 10]);
        assert_eq!(history.bytes.len(), CAPACITY);
        assert!(
            !history.contradicts(Sequence(0), &[9; 10]),
            "too old to tell"
        );
        assert!(history.contradicts(Sequence(10), &[9; 10]));
    }
}
