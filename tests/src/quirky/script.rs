//! What a quirky server answers to which command.

use ftpfw_common::abi::event::Direction;

use super::act::Act;
use crate::transcript::{Step, Transcript};

/// What a client says, and all that comes of it until it says something else.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// The command's verb in upper case; empty for the greeting, which nobody asked for.
    verb: String,
    /// What the server does first; only in a greeting.
    pub opening: Vec<Act>,
    /// The client's line, if there is one, then the server's.
    pub steps: Vec<Step>,
}

/// A quirk, and the ordinary server around it.
#[derive(Clone, Debug)]
pub struct Script {
    quirk: Vec<Exchange>,
    ordinary: Vec<Exchange>,
}

impl Script {
    /// A server that does as `quirk` says, and otherwise as `ordinary` does.
    #[must_use]
    pub fn new(quirk: &Transcript, ordinary: &Transcript) -> Self {
        Self {
            quirk: exchanges(quirk),
            ordinary: exchanges(ordinary),
        }
    }

    /// What comes before any command. What the quirk only does, and does not say, goes before the
    /// ordinary words.
    pub(super) fn greeting(&self) -> Exchange {
        let [quirk, ordinary] = [&self.quirk[0], &self.ordinary[0]];
        let said = match quirk.steps.is_empty() {
            true => &ordinary.steps,
            false => &quirk.steps,
        };
        Exchange {
            verb: String::new(),
            opening: quirk.opening.clone(),
            steps: said.clone(),
        }
    }

    /// The exchange that a client's line begins; it is the `time`th with that verb, from 0 on. `None`:
    /// the server knows no such command.
    pub(super) fn answer(&self, line: &[u8], time: usize) -> Option<&Exchange> {
        let verb = verb(line);
        [&self.quirk, &self.ordinary].into_iter().find_map(|of| {
            let mut alike: Vec<_> = of[1..].iter().filter(|it| it.verb == verb).collect();
            alike.truncate(time + 1);
            alike.pop()
        })
    }
}

/// The verb of a command line, in upper case.
pub(super) fn verb(line: &[u8]) -> String {
    let end = line.iter().position(|byte| !byte.is_ascii_alphabetic());
    String::from_utf8_lossy(&line[..end.unwrap_or(line.len())]).to_ascii_uppercase()
}

/// The greeting, then one for each command.
fn exchanges(transcript: &Transcript) -> Vec<Exchange> {
    let mut exchanges = vec![Exchange {
        opening: transcript.opening.clone(),
        ..Exchange::default()
    }];
    for step in &transcript.steps {
        if step.direction == Direction::Client {
            exchanges.push(Exchange {
                verb: verb(&step.bytes),
                ..Exchange::default()
            });
        }
        let latest = exchanges.last_mut().expect("there is the greeting");
        latest.steps.push(step.clone());
    }
    exchanges
}
