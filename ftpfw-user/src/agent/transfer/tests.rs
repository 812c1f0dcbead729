//! Steps of sessions, and what is known of their transfers then.

use ftpfw_common::Address;

use super::*;

fn connection(port: u16) -> SessionKey {
    SessionKey {
        client: Address::v4([10, 0, 0, 2]),
        server: Address::v4([10, 0, 0, 1]),
        client_port: port,
        server_port: 50_001,
    }
}

const COUNTED: Option<Bytes> = Some(Bytes {
    received: 7,
    acknowledged: 3000,
});

/// Steps: `+` a connection is made, `-` it ends, a command, a reply; what is concluded after them.
fn play(steps: &[&str]) -> Vec<Transfer> {
    let mut transfers = Transfers::default();
    let mut concluded = Vec::new();
    let mut port = 40_000;
    for step in steps {
        match *step {
            "+" => {
                port += 1;
                transfers.claimed(connection(port), Mode::Passive, 1_000_000_000);
            }
            "-" => assert!(transfers.finished(&connection(port), 3_000_000_000, COUNTED)),
            reply if reply.as_bytes()[0].is_ascii_digit() => transfers.reply(reply.as_bytes()),
            command => transfers.command(command.as_bytes()),
        }
        concluded.extend(transfers.concluded(false));
    }
    concluded.into_iter().map(|it| it.conclude(None)).collect()
}

#[test]
fn a_transfer_is_known_in_whatever_order_it_is_told() {
    for steps in [
        &["+", "RETR a b.txt", "150 ok", "-", "226 done"][..],
        &["+", "RETR a b.txt", "150 ok", "226 done", "-"],
        &["RETR a b.txt", "150 ok", "+", "-", "226 done"],
        &[
            "RETR a b.txt",
            "+",
            "150-more",
            "150 ok",
            "226-a",
            "-",
            "226 done",
        ],
        &[
            "200 before",
            "+",
            "retr a b.txt",
            "200 late",
            "150 ok",
            "-",
            "226 done",
        ],
    ] {
        let done = play(steps);
        assert_eq!(done.len(), 1, "{steps:?}: {done:?}");
        let it = &done[0];
        assert_eq!(
            (it.command, it.path.as_deref()),
            (Some("RETR"), Some("a b.txt"))
        );
        assert_eq!(
            (it.ending, it.reply),
            (Ending::Complete, Some(226)),
            "{steps:?}"
        );
        assert_eq!((it.bytes, it.duration_ms), (Some(3000), Some(2000)));
        assert_eq!(it.rate(), Some(1500));
    }
}

#[test]
fn uploads_aborts_and_failures_are_told_apart() {
    let upload = &play(&["+", "STOR x", "150 ok", "-", "226 done"])[0];
    assert_eq!(
        (upload.direction, upload.bytes),
        (Some(Direction::Upload), Some(7))
    );
    let aborted = &play(&["+", "RETR x", "150 ok", "-", "426 aborted", "226 ok"])[0];
    assert_eq!(
        (aborted.ending, aborted.reply),
        (Ending::Aborted, Some(426))
    );
    let failed = &play(&["+", "RETR x", "550 no such file", "-"])[0];
    assert_eq!(failed.ending, Ending::Failed);
    let list = &play(&["+", "LIST", "150 ok", "-", "226 done"])[0];
    assert_eq!((list.command, list.path.as_deref()), (Some("LIST"), None));
}

#[test]
fn nothing_is_concluded_too_early_or_taken_from_another() {
    assert_eq!(play(&["+", "RETR x", "150 ok", "226 done"]), []);
    assert_eq!(play(&["+", "RETR x", "150 ok", "-"]), []);
    // The second one's command is not the first one's, which was never answered.
    let done = play(&[
        "+", "RETR a", "150 ok", "-", "RETR b", "+", "150 ok", "-", "226 b",
    ]);
    let told: Vec<_> = done
        .iter()
        .map(|it| (it.path.as_deref(), it.reply))
        .collect();
    assert_eq!(told[0].0, Some("a"));
    // A command that no connection came of is none of the next one's.
    let done = play(&["RETR gone", "550 no", "+", "RETR b", "150 ok", "-", "226 b"]);
    assert_eq!(done[0].path.as_deref(), Some("b"));
}

#[test]
fn paths_are_escaped_and_other_commands_are_none() {
    let command = Command::read(b"STOR a\x1b[2J\xff").unwrap();
    assert_eq!(command.path.as_deref(), Some("a\\u{1b}[2J\u{fffd}"));
    for line in [&b"PASS secret"[..], b"RETRY x", b"", b"SITE RETR x"] {
        assert!(Command::read(line).is_none(), "{line:?}");
    }
}
