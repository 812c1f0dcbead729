//! Random frames: the host and the three programs must agree on each.

mod mutate;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::reason::Reason;
use ftpfw_tests::random;

use crate::{
    host::HostTables,
    programs::{Bench, Counts, Program},
    setup::Setup,
    table,
    world::World,
};
use mutate::Mutator;

/// A twentieth of what is asked for before a release: a few seconds.
const FRAMES: u64 = 50_000;
const SEED: u64 = 0xf7f0;
/// Frames that meet what those before them left behind.
const BATCH: u64 = 1000;
/// TIME_WAIT ends after 60 s, a request socket after 63 s: the sockets are made anew in time.
const WORLD: Duration = Duration::from_secs(30);

#[test]
fn random_frames() -> Result<()> {
    let (count, seed) = (random::count(FRAMES)?, random::seed(SEED)?);
    let from = Instant::now();
    let mut done = 0;
    let mut counts = Counts::default();
    while done < count {
        let mut arena = Arena::new()?;
        while done < count && arena.made.elapsed() < WORLD {
            let size = BATCH.min(count - done);
            let seed = seed.wrapping_add(done);
            arena
                .play(seed, size, &mut counts)
                .with_context(|| format!("FTPFW_SEED={seed} FTPFW_RANDOM={size} shows it again"))?;
            done += size;
        }
    }
    println!(
        "{count} random frames in {:?}: {:?}",
        from.elapsed(),
        counts.named()
    );
    Ok(())
}

/// A frame and what the host makes of it.
struct Judged {
    seed: u64,
    frame: Vec<u8>,
    reason: Reason,
    follower: Option<Reason>,
}

impl Judged {
    fn reasons(&self, program: Program) -> Vec<Reason> {
        let follower = self.follower.filter(|_| program == Program::Guard);
        [self.reason].into_iter().chain(follower).collect()
    }
}

/// One world, and the programs in it.
struct Arena {
    made: Instant,
    world: World,
    mutator: Mutator,
    benches: Vec<Bench>,
}

impl Arena {
    fn new() -> Result<Self> {
        let load = |program| Bench::load(program, Setup::Defaults);
        let mut benches: Vec<Bench> = Program::ALL.into_iter().map(load).collect::<Result<_>>()?;
        let (made, world) = (Instant::now(), World::new()?);
        for bench in &mut benches {
            bench.reset(&world)?;
            bench.find_idle()?;
        }
        let cases = table::cases(&world, Setup::Defaults);
        // Commands would make sessions, whose state the host does not follow here.
        let frames = cases
            .into_iter()
            .filter(|case| case.theme != table::FOLLOWER);
        Ok(Self {
            made,
            mutator: Mutator::new(frames.map(|case| case.frame).collect()),
            benches,
            world,
        })
    }

    fn play(&mut self, seed: u64, size: u64, counts: &mut Counts) -> Result<()> {
        let mut tables = HostTables::new(&self.world, Setup::Defaults);
        let seeds = (0..size).map(|nth| seed.wrapping_add(nth));
        let judge = |seed| {
            let frame = self.mutator.frame(seed);
            let (reason, follower) = tables.judge(&frame);
            counts.add(reason, false);
            Judged {
                seed,
                frame,
                reason,
                follower,
            }
        };
        let batch: Vec<_> = seeds.map(judge).collect();
        let (world, benches) = (&self.world, &mut self.benches);
        world.netns().run(|| {
            for bench in benches {
                bench.reset(world)?;
                if !agree(bench, &batch)? {
                    bench.reset(world)?;
                    find(bench, &batch)?;
                }
            }
            Ok(())
        })?
    }
}

/// Pass and drop by the frame; the reasons by their totals: reading the counters takes longer than
/// all the rest. `false` when those differ.
fn agree(bench: &mut Bench, batch: &[Judged]) -> Result<bool> {
    let (before, mut expected) = (bench.counts()?, Counts::default());
    for judged in batch {
        let Some(action) = bench.run(&judged.frame)? else {
            continue;
        };
        let reasons = judged.reasons(bench.program);
        let passes = reasons.iter().all(|reason| reason.is_pass());
        ensure!(
            action == bench.program.action(passes),
            "{:?} returned {action}, the host says {reasons:?}, seed {}: {}",
            bench.program,
            judged.seed,
            hex(&judged.frame)
        );
        for reason in reasons {
            expected.add(reason, false);
        }
    }
    Ok(bench.counts()?.since(&before) == expected)
}

/// Which frame it was.
fn find(bench: &mut Bench, batch: &[Judged]) -> Result<()> {
    for judged in batch {
        let reasons = judged.reasons(bench.program);
        let frame = || format!("seed {}: {}", judged.seed, hex(&judged.frame));
        bench
            .check(&judged.frame, &reasons, false)
            .with_context(frame)?;
    }
    anyhow::bail!(
        "{:?} counted other reasons, but not when it was asked again",
        bench.program
    )
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}
