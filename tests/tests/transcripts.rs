//! Every transcript through the engine, cut up in every way that TCP may cut it.

use std::{fmt::Write as _, path::Path};

use anyhow::{Result, ensure};
use ftpfw_common::{
    abi::event::Direction,
    control::Dialogue,
    stream::{Placement, Sequence, place},
};
use ftpfw_tests::transcript::{Transcript, describe};

/// Where each direction starts: the client's sequence numbers wrap on the way.
const STARTS: [Sequence; 2] = [Sequence(u32::MAX - 20), Sequence(1000)];

/// Those of the engine's own, and those that a server acts by (`ftpfw_tests::quirky`).
fn transcripts() -> Result<Vec<Transcript>> {
    let directories = ["transcripts", "quirks"].into_iter();
    let read =
        directories.map(|it| Transcript::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(it)));
    Ok(read.collect::<Result<Vec<_>>>()?.concat())
}

/// One segment of a step: the step's number, and which of its bytes.
type Cut = (usize, std::ops::Range<usize>);

/// Plays a transcript in these segments; what came of each step.
fn play(transcript: &Transcript, segments: impl IntoIterator<Item = Cut>) -> Vec<Vec<String>> {
    let mut dialogue = Dialogue::new(transcript.adopted, false);
    let mut begins = STARTS;
    // Sequence number of each step's first byte.
    let sequences: Vec<Sequence> = transcript
        .steps
        .iter()
        .map(|step| {
            let next = &mut begins[step.direction as usize];
            let begin = *next;
            *next = begin.plus(step.bytes.len() as u32);
            begin
        })
        .collect();
    let mut concluded = vec![Vec::new(); transcript.steps.len()];
    for (number, range) in segments {
        let step = &transcript.steps[number];
        let sequence = sequences[number].plus(range.start as u32);
        let bytes = &step.bytes[range];
        dialogue.take(
            step.direction,
            sequence,
            bytes,
            &transcript.client,
            |_, conclusion| {
                concluded[number].push(describe(conclusion));
            },
        );
    }
    concluded
}

fn check(
    transcript: &Transcript,
    how: &str,
    segments: impl IntoIterator<Item = Cut>,
) -> Result<()> {
    let concluded = play(transcript, segments);
    let mut wrong = String::new();
    for (number, (step, concluded)) in transcript.steps.iter().zip(concluded).enumerate() {
        if step.expected != concluded {
            let text = String::from_utf8_lossy(&step.bytes);
            let expected = &step.expected;
            writeln!(wrong, "step {}: {text:?}", number + 1)?;
            writeln!(wrong, "  expected {expected:?}\n  came     {concluded:?}")?;
        }
    }
    ensure!(wrong.is_empty(), "{}, {how}:\n{wrong}", transcript.name);
    Ok(())
}

fn whole(transcript: &Transcript) -> impl Iterator<Item = Cut> + '_ {
    transcript
        .steps
        .iter()
        .enumerate()
        .map(|(number, step)| (number, 0..step.bytes.len()))
}

fn single_bytes(transcript: &Transcript) -> impl Iterator<Item = Cut> + '_ {
    whole(transcript).flat_map(|(number, range)| range.map(move |at| (number, at..at + 1)))
}

/// All steps whole but `number`, which is cut before its byte `at`.
fn cut(transcript: &Transcript, number: usize, at: usize) -> Vec<Cut> {
    whole(transcript)
        .flat_map(|(step, range)| {
            if step == number {
                vec![(step, 0..at), (step, at..range.end)]
            } else {
                vec![(step, range)]
            }
        })
        .collect()
}

#[test]
fn whole_steps_conclude_what_the_transcript_says() -> Result<()> {
    let failures: Vec<_> = transcripts()?
        .iter()
        .filter_map(|it| check(it, "whole", whole(it)).err())
        .map(|error| error.to_string())
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[test]
fn single_bytes_conclude_the_same() -> Result<()> {
    transcripts()?
        .iter()
        .try_for_each(|it| check(it, "byte by byte", single_bytes(it)))
}

#[test]
fn a_cut_at_any_byte_changes_nothing() -> Result<()> {
    for transcript in transcripts()? {
        for (number, range) in whole(&transcript) {
            for at in range.skip(1) {
                let how = format!("step {} cut at {at}", number + 1);
                check(&transcript, &how, cut(&transcript, number, at))?;
            }
        }
    }
    Ok(())
}

#[test]
fn duplicates_change_nothing() -> Result<()> {
    for transcript in transcripts()? {
        let doubled = whole(&transcript).flat_map(|it| [it.clone(), it]);
        check(&transcript, "every segment twice", doubled)?;
        let overlapping = single_bytes(&transcript)
            .flat_map(|(number, range)| [(number, range.clone()), (number, 0..range.end)]);
        check(
            &transcript,
            "every byte again with all before it",
            overlapping,
        )?;
    }
    Ok(())
}

#[test]
fn a_different_copy_of_what_was_seen_is_never_read() {
    let client = ftpfw_common::Address::v4([10, 0, 0, 9]);
    let mut dialogue = Dialogue::new(true, false);
    let mut concluded = Vec::new();
    let mut take = |direction, sequence, bytes: &[u8]| {
        dialogue.take(direction, Sequence(sequence), bytes, &client, |_, it| {
            concluded.push(describe(it));
        });
    };
    take(Direction::Client, 1, b"PASV\r\n");
    take(Direction::Server, 1, b"227 (10,0,0,1,195,80");
    take(Direction::Server, 1, b"227 (10,0,0,1,195,99)\r\n");
    assert_eq!(concluded, ["arm passive 50000 pasv"], "ATTACKS 19");
}

/// Two segments of one direction, the second first: it would leave a hole, so the kernel drops it
/// (`control-out-of-order`) and TCP sends it again behind the first.
#[test]
fn swapped_neighbours_change_nothing() -> Result<()> {
    for transcript in transcripts()? {
        for (number, range) in whole(&transcript) {
            for at in range.clone().skip(1) {
                let (head, tail) = ((number, 0..at), (number, at..range.end));
                let arrives_early = place(
                    STARTS[0],
                    STARTS[0].plus(at as u32),
                    (range.end - at) as u32,
                );
                ensure!(
                    arrives_early == Placement::Hole,
                    "a hole at {at} is not seen"
                );
                let resent = whole(&transcript).flat_map(|(step, range)| {
                    if step == number {
                        vec![head.clone(), tail.clone(), head.clone(), tail.clone()]
                    } else {
                        vec![(step, range)]
                    }
                });
                check(
                    &transcript,
                    &format!("step {} swapped at {at}", number + 1),
                    resent,
                )?;
            }
        }
    }
    Ok(())
}
