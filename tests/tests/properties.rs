//! What must hold for any bytes at all. The fuzzers (`cargo xtask fuzz`) look deeper; this runs with
//! every test.

use ftpfw_common::{
    Address,
    abi::{event::Direction, values::Session},
    control::{Conclusion, Dialogue, State},
    packet::{self, Transport},
    stream::Sequence,
};
use proptest::{collection::vec, prelude::*};

const CLIENT: Address = Address::v4([10, 0, 0, 9]);

/// Bytes that look like FTP often enough to get somewhere.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..80),
        "(USER|PASS|PASV|EPSV|PORT|EPRT|LPRT|AUTH|REIN|ABOR|QUIT|CCC)[ -~]{0,40}\r?\n"
            .prop_map(String::into_bytes),
        "[1-6][0-9]{2}[ -][ -~]{0,60}\r?\n".prop_map(String::into_bytes),
        Just(b"229 (|||50001|)\r\n".to_vec()),
        Just(b"230 in\r\n".to_vec()),
    ]
}

fn play(chunks: &[(bool, Vec<u8>)]) -> (Dialogue, Vec<Conclusion>) {
    let mut dialogue = Dialogue::new(false, false);
    let mut next = [Sequence(u32::MAX - 9), Sequence(7)];
    let mut concluded = Vec::new();
    for (from_server, bytes) in chunks {
        let direction = if *from_server {
            Direction::Server
        } else {
            Direction::Client
        };
        let at = &mut next[direction as usize];
        dialogue.take(direction, *at, bytes, &CLIENT, |_, it| concluded.push(it));
        *at = at.plus(bytes.len() as u32);
    }
    (dialogue, concluded)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No bytes make it panic, no port below 1024 is armed, and nothing is armed before a greeting.
    #[test]
    fn any_dialogue_keeps_the_rules(chunks in vec((any::<bool>(), text()), 0..20)) {
        let (dialogue, concluded) = play(&chunks);
        for conclusion in concluded {
            if let Conclusion::ArmPassive { port, .. } | Conclusion::ArmActive { port, .. } = conclusion {
                prop_assert!(port >= 1024);
                prop_assert!(dialogue.state().has(State::GREETED));
            }
        }
    }

    /// How the bytes are cut does not matter.
    #[test]
    fn any_cut_concludes_the_same(chunks in vec((any::<bool>(), text()), 0..12), size in 1usize..9) {
        let cut: Vec<_> = chunks
            .iter()
            .flat_map(|(who, bytes)| bytes.chunks(size).map(|chunk| (*who, chunk.to_vec())))
            .collect();
        prop_assert_eq!(play(&chunks).1, play(&cut).1);
    }

    /// A parsed segment lies inside its frame.
    #[test]
    fn any_frame_is_parsed_within_its_bounds(
        start in prop_oneof![Just(vec![]), Just([vec![0; 12], vec![8, 0, 0x45]].concat())],
        rest in vec(any::<u8>(), 0..120),
    ) {
        let frame = [start, rest].concat();
        if let Ok(packet::Packet { transport: Transport::Tcp(tcp), .. }) = packet::parse(&&frame[..]) {
            prop_assert!(tcp.at + 20 <= tcp.payload && tcp.payload <= tcp.end);
            prop_assert!(tcp.end <= frame.len());
        }
    }
}

/// What a session costs the kernel, whatever is said in it; the map adds 88 bytes of key and element.
/// Whoever makes it larger does so knowingly.
#[test]
fn a_session_is_bounded() {
    assert!(
        size_of::<Session>() <= 448,
        "{} bytes",
        size_of::<Session>()
    );
}
