//! Any two streams of bytes: nothing arms but what the rules allow, and a session that is clean
//! again negotiates again.
#![no_main]

use ftpfw_common::{
    Address,
    abi::event::Direction,
    control::{Conclusion, Dialogue, LOWEST_PORT, State},
    stream::Sequence,
};
use libfuzzer_sys::fuzz_target;

const CLIENT: Address = Address::v4([10, 0, 0, 9]);

/// A dialogue and where its two streams are.
struct Talk {
    dialogue: Dialogue,
    next: [Sequence; 2],
}

impl Talk {
    fn say(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Conclusion> {
        let next = &mut self.next[direction as usize];
        let mut concluded = Vec::new();
        self.dialogue
            .take(direction, *next, bytes, &CLIENT, |_, it| concluded.push(it));
        *next = next.plus(bytes.len() as u32);
        concluded
    }

    /// TCP threw away the client's last `bytes`.
    fn throw_away(&mut self, bytes: u32) {
        let next = &mut self.next[Direction::Client as usize];
        let wanted = Sequence(next.0.wrapping_sub(bytes));
        if self.dialogue.rewind(wanted).is_some() {
            assert_eq!(self.dialogue.next(Direction::Client), wanted);
            *next = wanted;
        }
    }
}

// Chunks: one byte of header (bit 7: who speaks, bits 0-6: how much), then that many bytes. A chunk
// of none is of TCP: the next byte says how much of the client's it throws away, or (the server's)
// how much it has not acknowledged yet.
fuzz_target!(|input: &[u8]| {
    let mut talk = Talk {
        dialogue: Dialogue::new(false, false),
        next: [Sequence(u32::MAX - 7), Sequence(0)],
    };
    let mut rest = input;
    while let Some((&header, behind)) = rest.split_first() {
        let direction = if header & 0x80 == 0 {
            Direction::Client
        } else {
            Direction::Server
        };
        if header & 0x7f == 0 {
            let Some((&amount, behind)) = behind.split_first() else {
                break;
            };
            match direction {
                Direction::Client => talk.throw_away(amount.into()),
                Direction::Server => {
                    let next = talk.dialogue.next(Direction::Client).0;
                    talk.dialogue
                        .acknowledge(Sequence(next.wrapping_sub(amount.into())));
                }
            }
            rest = behind;
            continue;
        }
        let (bytes, behind) = behind.split_at(usize::from(header & 0x7f).min(behind.len()));
        for conclusion in talk.say(direction, bytes) {
            let state = talk.dialogue.state();
            if let Conclusion::ArmPassive { port, .. } | Conclusion::ArmActive { port, .. } =
                conclusion
            {
                assert!(port >= LOWEST_PORT);
                assert!(state.has(State::GREETED) || state.has(State::OPAQUE));
            }
        }
        rest = behind;
    }
    // The stream is clean again behind a line end: what the session may do, it can do again.
    let state = talk.dialogue.state();
    if state.has(State::OPAQUE) || state.has(State::ENDED) || !state.has(State::LOGGED_IN) {
        return;
    }
    // IAC SE, twice, leaves whatever Telnet sequence is open; two lines leave the rest. The open
    // multi-line reply, if any, ends with every code there is.
    talk.say(Direction::Client, b"\xff\xf0\xff\xf0 \r\n\r\n");
    talk.say(Direction::Server, b"\xff\xf0\xff\xf0 \r\n");
    for code in 100..700 {
        talk.say(Direction::Server, format!("{code} end\r\n").as_bytes());
    }
    let state = talk.dialogue.state();
    if state.has(State::OPAQUE) || state.has(State::ENDED) || !state.has(State::LOGGED_IN) {
        return;
    }
    talk.say(Direction::Client, b"EPSV\r\n");
    let concluded = talk.say(Direction::Server, b"229 (|||50000|)\r\n");
    assert!(
        concluded
            .iter()
            .any(|it| matches!(it, Conclusion::ArmPassive { port: 50_000, .. })),
        "a clean session does not negotiate: {concluded:?}"
    );
});
