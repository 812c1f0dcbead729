//! Dialogues, and the length that is known at their end.

use super::*;

/// Plays commands and replies; what the last one, a 150 to `RETR a b.iso`, tells.
fn told(steps: &[&str]) -> Option<u64> {
    let mut lengths = Lengths::default();
    for step in steps {
        match step.as_bytes()[0].is_ascii_digit() {
            true => drop(lengths.reply(step.as_bytes())),
            false => lengths.command(step.as_bytes()),
        }
    }
    lengths.of("a b.iso", steps.last().unwrap().as_bytes())
}

const SIZE: [&str; 4] = ["SIZE a b.iso", "213 700", "RETR a b.iso", "150 ok"];

#[test]
fn servers_say_it_in_one_place_or_the_other() {
    assert_eq!(told(&SIZE), Some(700));
    for (text, length) in [
        (
            "150 Opening BINARY mode data connection for a b.iso (700 bytes).",
            Some(700),
        ),
        (
            "150 Opening data connection for x (5 bytes).iso (700 bytes)",
            Some(700),
        ),
        ("125 Opening data connection for x (700 bytes)", Some(700)),
        ("150 About to open data connection.", None),
        ("150 0.7 kbytes to download", None),
        ("150 for a (-7 bytes)", None),
        ("150 for a (99999999999999999999 bytes)", None),
    ] {
        assert_eq!(told(&["RETR a b.iso", text]), length, "{text}");
    }
    // 150 is of this very transfer.
    let both = [&SIZE[..3], &["150 now (800 bytes)"]].concat();
    assert_eq!(told(&both), Some(800));
}

#[test]
fn an_answer_is_to_its_question() {
    // Pipelined, with a greeting before and a multi-line answer between them.
    let pipelined = [
        "220 ready",
        "SIZE x",
        "FEAT",
        "MDTM a b.iso",
        "SIZE a b.iso",
        "RETR a b.iso",
        "213 1",
        "211-Features:",
        " SIZE",
        "213 2",
        "211 End",
        "213 20250101120000",
        "213 700",
        "150 ok",
    ];
    assert_eq!(told(&pipelined), Some(700));
    for steps in [
        &["SIZE a b.iso", "550 no", "RETR a b.iso", "150 ok"][..],
        &["SIZE other", "213 700", "RETR a b.iso", "150 ok"],
        &[
            "MDTM a b.iso",
            "213 20250101120000",
            "RETR a b.iso",
            "150 ok",
        ],
        &["SIZE a b.iso", "213 7x", "RETR a b.iso", "150 ok"],
        &["213 700", "SIZE a b.iso", "RETR a b.iso", "150 ok"],
    ] {
        assert_eq!(told(steps), None, "{steps:?}");
    }
}

#[test]
fn what_may_have_changed_is_forgotten() {
    for (between, length) in [
        (&["CWD d", "250 ok"][..], None),
        (&["CWD d", "550 no"], Some(700)),
        (&["TYPE A", "200 ok"], None),
        (&["NOOP", "200 ok"], Some(700)),
        (&["STOR up", "150 ok", "226 done"], None),
        (&["LIST", "150 ok", "226 done"], Some(700)),
        (&["MODE Z", "200 ok"], None),
        (&["MODE Z", "504 no"], Some(700)),
        (&["USER b", "331 password"], None),
        (&["REST 100", "350 ok"], Some(600)),
        (&["REST 100", "501 no"], Some(700)),
        (&["REST 900", "350 ok"], None),
        (
            &["REST 100", "350 ok", "RETR x", "150 ok", "226 done"],
            Some(700),
        ),
    ] {
        let steps = [&SIZE[..2], between, &SIZE[2..]].concat();
        assert_eq!(told(&steps), length, "{between:?}");
    }
}

/// The text of 150 counts bytes on the disk, from the beginning or not.
#[test]
fn the_text_of_150_is_not_always_what_is_sent() {
    let said = "150 Opening (700 bytes)";
    assert_eq!(told(&["TYPE I", "200 ok", "RETR a b.iso", said]), Some(700));
    assert_eq!(told(&["TYPE A", "200 ok", "RETR a b.iso", said]), None);
    assert_eq!(told(&["REST 9", "350 ok", "RETR a b.iso", said]), None);
    assert_eq!(
        told(&[
            "TYPE A",
            "200 ok",
            "SIZE a b.iso",
            "213 710",
            "RETR a b.iso",
            said
        ]),
        Some(710)
    );
}

#[test]
fn what_was_not_seen_is_not_guessed() {
    let mut lengths = Lengths::default();
    lengths.command(b"SIZE a");
    lengths.give_up();
    lengths.reply(b"213 700");
    lengths.command(b"SIZE a");
    lengths.reply(b"213 700");
    assert_eq!(lengths.of("a", b"150 a (700 bytes)"), None);
    // More questions than are kept.
    let mut lengths = Lengths::default();
    for _ in 0..=KEPT {
        lengths.command(b"SIZE a");
    }
    lengths.reply(b"213 700");
    assert_eq!(lengths.of("a", b"150 a"), None);
}
