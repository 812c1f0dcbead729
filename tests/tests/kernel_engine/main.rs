//! The engine in the kernel against the host build of the same code: the same segments, through
//! BPF_PROG_TEST_RUN on the programs `commands` and `replies`, must come to the same events, tuples
//! and counts.
//!
//! * `FTPFW_RANDOM=N`: number of random dialogues (a tenth of 100,000 without it);
//! * `FTPFW_SEED=N`: seed of the first; the others follow it.

mod grammar;
mod kernel;
mod model;
mod random;
mod segment;
mod told;
mod world;

use std::{net::IpAddr, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::{
    Address,
    abi::{event::Direction, keys::TupleKey, values::Mode},
    reason::{Counter, Loss, Negotiation, Reason, Refusal},
    stream::Sequence,
};
use ftpfw_tests::{
    netns::Netns,
    random::Random,
    transcript::{Transcript, describe},
};

use grammar::WAKE;
use kernel::Engine;
use model::{Counts, Model};
use segment::{End, Segment};
use world::{Connection, World};

const DIALOGUES: u64 = 10_000;
/// Payload of a segment on an Ethernet, and a few bytes more.
const LONGEST: usize = 1470;
const SEED: u64 = 0xf7f0;
/// A transcript starts shortly before the client's sequence numbers wrap.
const STARTS: [Sequence; 2] = [Sequence(u32::MAX - 20), Sequence(1000)];

#[test]
fn transcripts_whole_and_cut() -> Result<()> {
    let directory = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut transcripts = Transcript::read_all(&directory("transcripts"))?;
    transcripts.extend(Transcript::read_all(&directory("quirks"))?);
    in_a_namespace("transcripts", |bench| {
        for transcript in &transcripts {
            bench.transcript(transcript, None)?;
            for (number, step) in transcript.steps.iter().enumerate() {
                for at in 1..step.bytes.len() {
                    bench.transcript(transcript, Some((number, at)))?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn random_dialogues() -> Result<()> {
    let count = ftpfw_tests::random::count(DIALOGUES)?;
    let seed = ftpfw_tests::random::seed(SEED)?;
    let from = Instant::now();
    in_a_namespace("random", |bench| {
        for seed in (0..count).map(|nth| seed.wrapping_add(nth)) {
            let mut dialogue = random::Dialogue::new(seed);
            let (of, segments) = ((dialogue.client, dialogue.used), &mut dialogue.segments);
            // As they should be, somewhere, and anywhere.
            match seed % 3 {
                0 => bench.meet(of, segments, 0)?,
                1 => bench.meet(of, segments, Random::new(seed).below(8) + 1)?,
                _ => {}
            }
            bench
                .play(of, segments)
                .with_context(|| format!("FTPFW_SEED={seed} FTPFW_RANDOM=1 shows it again"))?;
        }
        Ok(())
    })?;
    println!("{count} random dialogues in {:?}", from.elapsed());
    Ok(())
}

/// A right checksum is found right, and a wrong one wrong, at every length.
#[test]
fn segments_of_every_length() -> Result<()> {
    let clients = [[10, 0, 0, 9].into(), "fd77::9".parse::<IpAddr>()?];
    in_a_namespace("lengths", |bench| {
        for length in 1..LONGEST {
            let segment = |damaged| Segment {
                direction: Direction::Client,
                sequence: STARTS[0],
                acknowledgment: STARTS[1],
                bytes: vec![b'x'; length],
                end: End::Open,
                damaged,
            };
            for client in clients {
                let (of, mut segments) = ((client.into(), true), [true, false].map(segment));
                bench.meet(of, &mut segments, 0)?;
                bench
                    .play(of, &segments)
                    .with_context(|| format!("{length} bytes"))?;
            }
        }
        Ok(())
    })
}

/// Runs a test in a namespace of its own; then the programs must have counted what the model did.
fn in_a_namespace(label: &str, test: impl FnOnce(&mut Bench) -> Result<()> + Send) -> Result<()> {
    let netns = Netns::new(&format!("engine-{label}"))?;
    netns.run(|| {
        let mut bench = Bench {
            engine: Engine::new()?,
            world: World::new(&netns)?,
            counts: Counts::default(),
        };
        test(&mut bench)?;
        bench.check_counters()
    })?
}

struct Bench {
    engine: Engine,
    world: World,
    counts: Counts,
}

impl Bench {
    /// Plays a transcript, with one of its steps cut before a byte.
    fn transcript(&mut self, transcript: &Transcript, cut: Option<(usize, usize)>) -> Result<()> {
        let of = (transcript.client, transcript.adopted);
        let mut segments = segments(transcript, cut);
        self.meet(of, &mut segments, 0)?;
        let concluded = self
            .play(of, &segments)
            .with_context(|| format!("{} cut at {cut:?}", transcript.name))?;
        // A piece of a greeting is none: the session is then taken for one met in the middle.
        if cut.is_none_or(|(_, at)| at > 2) {
            let expected: Vec<_> = transcript
                .steps
                .iter()
                .flat_map(|it| &it.expected)
                .collect();
            let concluded: Vec<_> = concluded.iter().collect();
            ensure!(concluded == expected, "{}: {concluded:?}", transcript.name);
        }
        Ok(())
    }

    /// Moves the client's sequence numbers so that what the server's TCP wants is the client's `nth` segment, or
    /// the first where there are not so many: what lies behind was thrown away, as far as the programs can
    /// tell.
    fn meet(&self, of: (Address, bool), segments: &mut [Segment], nth: usize) -> Result<()> {
        let wanted = self.world.connection(of.0, of.1)?.wanted;
        let of_client = |it: &&Segment| it.direction == Direction::Client;
        let mut clients = segments.iter().filter(of_client);
        let first = clients.clone().next();
        let Some(into) = clients.nth(nth).or(first) else {
            return Ok(());
        };
        let by = wanted.0.wrapping_sub(into.sequence.0);
        for segment in segments {
            let number = match segment.direction {
                Direction::Client => &mut segment.sequence,
                Direction::Server => &mut segment.acknowledgment,
            };
            *number = number.plus(by);
        }
        Ok(())
    }

    /// Plays segments to both; what the engine concluded.
    fn play(&mut self, of: (Address, bool), segments: &[Segment]) -> Result<Vec<String>> {
        let (client, used) = of;
        let connection = self.world.connection(client, used)?;
        let mut model = Model::new(client, connection.wanted, used);
        for (number, segment) in segments.iter().enumerate() {
            let expected = model.take(segment, &mut self.counts);
            let told = self.engine.take(connection, segment)?;
            ensure!(
                told == expected,
                "kernel: {told:#?}\nhost:   {expected:#?}\nafter the last of\n{}",
                listing(&segments[..=number])
            );
        }
        check(&self.engine, connection, &model)
            .with_context(|| format!("after\n{}", listing(segments)))?;
        self.engine.forget(connection)?;
        Ok(model.concluded.into_iter().map(describe).collect())
    }

    fn check_counters(&self) -> Result<()> {
        let counters = self.engine.counters()?;
        let refusals = Refusal::ALL.iter().map(|it| Counter::Refused(*it));
        let armed = Negotiation::ALL.iter().map(|it| Counter::Armed(*it));
        let losses = [Loss::Gap, Loss::Rewound, Loss::EventsLost].map(Counter::Lost);
        let verdicts = Reason::ALL.iter().map(|it| Counter::Verdict(*it));
        let mut wrong = Vec::new();
        for counter in refusals.chain(armed).chain(losses).chain(verdicts) {
            let (kernel, host) = (counters.get(counter), self.counts.get(counter));
            if kernel != host {
                wrong.push(format!("{counter:?}: {kernel}, not {host}"));
            }
            println!("{counter:?}: {kernel}");
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }
}

/// What is left in the maps.
fn check(engine: &Engine, connection: &Connection, model: &Model) -> Result<()> {
    let key = connection.key();
    let tuple = model.armed().map(|(mode, port)| match mode {
        Mode::Active => TupleKey::active(key.client, port, key.server),
        _ => TupleKey::passive(key.client, key.server, port),
    });
    let armed = engine.armed()?;
    ensure!(
        armed == Vec::from_iter(tuple),
        "armed: {armed:?}, not {tuple:?}"
    );
    if let Some((Mode::Passive, port)) = model.armed() {
        let count = engine.count(port);
        ensure!(count == 1, "{count} tuples counted for port {port}");
    }
    let (state, expected) = (engine.state(connection), model.state());
    ensure!(state == expected, "{state:?}, not {expected:?}");
    Ok(())
}

/// The segments of a transcript, each acknowledging all that the other end said.
fn segments(transcript: &Transcript, cut: Option<(usize, usize)>) -> Vec<Segment> {
    let mut next = STARTS;
    let mut segments = Vec::new();
    let mut say = |direction: Direction, bytes: &[u8]| {
        let (sequence, acknowledgment) = match direction {
            Direction::Client => (next[0], next[1]),
            Direction::Server => (next[1], next[0]),
        };
        let segment = Segment {
            direction,
            sequence,
            acknowledgment,
            bytes: bytes.to_vec(),
            end: End::Open,
            damaged: false,
        };
        next[direction as usize] = segment.next();
        segments.push(segment);
    };
    say(Direction::Client, WAKE);
    for (number, step) in transcript.steps.iter().enumerate() {
        match cut {
            Some((cut, at)) if cut == number => {
                say(step.direction, &step.bytes[..at]);
                say(step.direction, &step.bytes[at..]);
            }
            _ => say(step.direction, &step.bytes),
        }
    }
    segments
}

fn listing(segments: &[Segment]) -> String {
    let lines: Vec<_> = segments.iter().map(|it| format!("{it:?}")).collect();
    lines.join("\n")
}
