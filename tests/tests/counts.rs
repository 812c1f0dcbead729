//! The armed count of each port against a recount of the map of tuples, after sessions negotiated,
//! dialled, aborted and hung up at random, listeners and deadlines came and went, the map was full, and
//! the agent was killed.
//!
//! `FTPFW_SEED=N`: what happens; `FTPFW_RANDOM=N`: how much of it, in actions of each session.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::Address;
use ftpfw_common::abi::keys::TupleKey;
use ftpfw_common::abi::policy::Settings;
use ftpfw_common::abi::values::Mode;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::random::{self, Random};
use ftpfw_tests::scene::LOGIN;
use ftpfw_tests::scripted::{Scripted, Talk};
use ftpfw_tests::wait;
use ftpfw_user::kernel::{
    Maps, PinDir, Wire,
    tuples::{Arming, Owner, Tuples},
};

/// Sessions at a time.
const SESSIONS: u64 = 4;
/// Actions of each between two recounts.
const ACTIONS: u64 = 60;
const ROUNDS: u64 = 3;
const PORTS: std::ops::Range<u16> = 50_000..50_006;
/// Shorter than a round.
const LIFETIME: u64 = 300_000_000;
const HOUR: u64 = 3_600_000_000_000;

/// The data ports; whoever holds one of them may close and open it.
type Listeners = Vec<Mutex<Option<TcpListener>>>;

struct Stage<'a> {
    lab: &'a Lab,
    server: Mutex<Scripted<'a>>,
    listeners: Listeners,
}

impl Stage<'_> {
    fn talk(&self) -> Result<Talk> {
        let server = self.server.lock().expect("nobody panicked");
        let mut talk = server.talk(&self.lab.client.netns)?;
        drop(server);
        talk.play(&LOGIN)?;
        Ok(talk)
    }

    /// One session's life, and the next one's.
    fn act(&self, seed: u64, actions: u64) -> Result<()> {
        let random = &mut Random::new(seed);
        let mut talk = self.talk()?;
        for _ in 0..actions {
            let port = PORTS.start + random.below(PORTS.len()) as u16;
            let [high, low] = port.to_be_bytes();
            let (server, client) = (self.lab.server.v4, self.lab.client.v4);
            let numbers = server.to_string().replace('.', ",");
            match random.below(12) {
                0..3 => talk.play(&["C EPSV", &format!("S 229 Extended (|||{port}|)")])?,
                3..6 => {
                    let reply = format!("S 227 Passive ({numbers},{high},{low})");
                    talk.play(&["C PASV", &reply])?;
                }
                6 => talk.play(&[&format!("C EPRT |1|{client}|{port}|"), "S 200 ok"])?,
                7 => {
                    // Whether it gets through depends on all the others.
                    let address = SocketAddr::new(server.into(), port);
                    let patience = Duration::from_millis(20);
                    let dial = || TcpStream::connect_timeout(&address, patience).map(drop);
                    let _dropped = self.lab.client.netns.run(dial)?;
                }
                8 => talk.play(&["C ABOR", "S 226 closed"])?,
                9 => {
                    let mut listener = self.listeners[usize::from(port - PORTS.start)]
                        .lock()
                        .expect("nobody panicked");
                    drop(listener.take());
                    let server = self.server.lock().expect("nobody panicked");
                    // A process that is just started holds the old one until it runs its program.
                    let reopened =
                        wait::until("the port to be free", || Ok(server.listen(port).ok()));
                    *listener = Some(reopened?);
                }
                10 => talk = self.talk()?,
                _ => {
                    talk.reset()?;
                    talk = self.talk()?;
                }
            }
        }
        Ok(())
    }
}

/// The count of each port is the number of tuples that are armed for it.
fn recount(tuples: &Tuples) -> Result<()> {
    let mut counted: BTreeMap<u16, u32> = BTreeMap::new();
    for (key, _) in tuples.all()? {
        if key.is_passive() {
            *counted.entry(key.server_port).or_default() += 1;
        }
    }
    let wrong: Vec<_> = (0..=u16::MAX)
        .map(|port| {
            let expected = counted.get(&port).copied().unwrap_or(0);
            (port, tuples.ports().get(port).armed(), expected)
        })
        .filter(|(_, count, expected)| count != expected)
        .collect();
    ensure!(wrong.is_empty(), "(port, count, tuples): {wrong:?}");
    Ok(())
}

/// `full`: the map has room for a few tuples only.
fn counts_stay_exact(extra: &[&str], full: bool) -> Result<()> {
    let (seed, actions) = (random::seed(1)?, random::count(ACTIONS)?);
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let listeners = PORTS.map(|port| Ok(Mutex::new(Some(server.listen(port)?))));
    let stage = Stage {
        listeners: listeners.collect::<Result<_>>()?,
        lab: &lab,
        server: Mutex::new(server),
    };
    let mut firewall = Firewall::start(&lab.server, extra)?;
    let maps = Maps::open(&PinDir::new(firewall.place().pins.clone()))?;
    let mut tuples = maps.tuples()?;
    for round in 0..ROUNDS {
        // Each agent that starts sets them anew.
        let mut settings = maps.settings()?;
        let now: Settings = settings.get(&0, 0)?.0;
        let short = Settings {
            tuple_lifetime: LIFETIME,
            ..now
        };
        settings.set(0, Wire(short), 0)?;
        if full && round == 0 {
            fill(&mut tuples)?;
        }
        thread::scope(|scope| -> Result<()> {
            let seed = seed.wrapping_add(round * SESSIONS);
            let sessions: Vec<_> = (0..SESSIONS)
                .map(|nth| {
                    scope.spawn({
                        let stage = &stage;
                        move || stage.act(seed + nth, actions)
                    })
                })
                .collect();
            // In the middle of it all.
            thread::sleep(Duration::from_millis(Random::new(seed).below(400) as u64));
            firewall.crash(extra)?;
            for session in sessions {
                session.join().expect("a session does not panic")?;
            }
            Ok(())
        })
        .with_context(|| format!("FTPFW_SEED={seed}, round {round}"))?;
        // What is under way ends, and then nothing is off.
        let mut wrong = None;
        wait::until("the counts to be those of the map", || {
            wrong = recount(&tuples).err();
            Ok(wrong.is_none().then_some(()))
        })
        .with_context(|| format!("{wrong:?}"))?;
    }
    drop(stage);
    let ours = |key: &TupleKey| PORTS.contains(&key.server_port);
    wait::until("the last tuple to go", || {
        let left = tuples.all()?.iter().filter(|(key, _)| ours(key)).count();
        Ok((left == 0).then_some(()))
    })?;
    let stats = firewall.stats()?;
    let armed: u64 = stats.negotiations.values().sum();
    println!("{armed} armed; {:?}", stats.refused);
    let refused = stats.refused.get("tuples-full").copied().unwrap_or(0);
    ensure!(extra.contains(&"agent") || armed > 0, "nothing was armed");
    ensure!(!full || refused > 0, "the map was never full");
    // The agent counts down a moment after it has removed.
    wait::until("the last counts to be right", || {
        Ok(recount(&tuples).is_ok().then_some(()))
    })
}

/// Leaves room for two.
fn fill(tuples: &mut Tuples) -> Result<()> {
    let key = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes();
        TupleKey::passive(
            Address::v4([127, b, c, d]),
            Address::v4([127, a, 0, 1]),
            40_000,
        )
    };
    let mut number = 0;
    while tuples.arm(key(number), Owner::new(0, Mode::Manual), HOUR)? != Arming::Full {
        number += 1;
    }
    for number in 0..2 {
        ensure!(tuples.withdraw(&key(number))?);
    }
    Ok(())
}

#[test]
fn by_the_programs() -> Result<()> {
    counts_stay_exact(&[], false)
}

#[test]
fn by_the_programs_in_a_full_map() -> Result<()> {
    counts_stay_exact(&[], true)
}

#[test]
fn by_the_agent() -> Result<()> {
    counts_stay_exact(&["--opener", "agent"], false)
}
