//! `--opener agent`: tuples armed and withdrawn by this process, as the engine concludes.
//!
//! The client's SYN may be faster (DESIGN §3), which is why the programs do this wherever they can.

use std::collections::HashMap;

use aya::maps::MapError;
use ftpfw_common::{
    abi::{
        event::Cause,
        keys::{SessionKey, TupleKey},
        policy::{Settings, port as bits},
        values::{Mode, Tuple},
    },
    control::Conclusion,
    reason::{Counter, Negotiation, Refusal},
};

use super::event::Happening;
use crate::kernel::{
    Turned,
    maps::CounterMap,
    tuples::{Arming, Owner, Tuples},
};

/// What a session has armed and may have to withdraw: one tuple of each kind at most.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    passive: Option<u16>,
    active: Option<u16>,
}

/// Arms and withdraws, and counts what it armed and refused: the programs do not.
#[derive(Debug)]
pub struct Opener {
    counters: CounterMap,
    turned: Turned,
    lifetime: u64,
    tuples_per_client: u32,
    held: HashMap<u64, Held>,
}

impl Opener {
    /// An opener by these settings, which answers for the tuples that are `armed` already: an earlier
    /// agent armed them.
    #[must_use]
    pub fn new(
        settings: &Settings,
        armed: &[(TupleKey, Tuple)],
        counters: CounterMap,
        turned: Turned,
    ) -> Self {
        let mut held: HashMap<u64, Held> = HashMap::new();
        for (key, tuple) in armed {
            let held = held.entry(tuple.session).or_default();
            if key.is_passive() {
                held.passive = Some(key.server_port);
            } else {
                held.active = Some(key.client_port);
            }
        }
        Self {
            counters,
            turned,
            lifetime: settings.tuple_lifetime,
            tuples_per_client: settings.tuples_per_client,
            held,
        }
    }

    /// Tuples that are armed from now on live for `lifetime`, ns.
    pub const fn set_lifetime(&mut self, lifetime: u64) {
        self.lifetime = lifetime;
    }

    /// Does what `session` came to. Returns what happened; of a refusal without its line.
    ///
    /// # Errors
    ///
    /// Those of the maps and of the program.
    pub fn conclude(
        &mut self,
        tuples: &mut Tuples,
        id: u64,
        key: &SessionKey,
        forwarded: bool,
        conclusion: Conclusion,
    ) -> anyhow::Result<Vec<Happening>> {
        let done = self.carry_out(tuples, id, key, forwarded, conclusion)?;
        for happening in &done {
            match happening {
                Happening::Refused { refusal, .. } => {
                    self.counters.add_one(Counter::Refused(*refusal))?;
                }
                Happening::Armed { by: Some(by), .. } => {
                    self.counters.add_one(Counter::Armed(*by))?;
                }
                _ => {}
            }
        }
        Ok(done)
    }

    fn carry_out(
        &mut self,
        tuples: &mut Tuples,
        id: u64,
        key: &SessionKey,
        forwarded: bool,
        conclusion: Conclusion,
    ) -> anyhow::Result<Vec<Happening>> {
        match conclusion {
            Conclusion::ArmPassive { port, by } => {
                let owner = Owner {
                    forwarded,
                    ..Owner::new(id, Mode::Passive)
                };
                Ok(self.arm(tuples, owner, key, port, by)?)
            }
            Conclusion::ArmActive { port, by } => {
                let owner = Owner::new(id, Mode::Active);
                Ok(self.arm(tuples, owner, key, port, by)?)
            }
            Conclusion::WithdrawActive { port } => {
                let held = self.held.entry(id).or_default();
                held.active = held.active.filter(|active| *active != port);
                let done = withdraw(tuples, id, key, Mode::Active, port, Cause::Refused)?;
                Ok(done.into_iter().collect())
            }
            Conclusion::Withdraw(cause) => Ok(self.withdraw(tuples, id, key, cause)?),
            Conclusion::Refused(refusal) => Ok(vec![refused(refusal)]),
            Conclusion::LoggedIn => Ok(Vec::new()),
            // The programs say that it happened, if it did.
            Conclusion::Opaque | Conclusion::Plain => {
                let opaque = conclusion == Conclusion::Opaque;
                self.turned.tell(key, id, opaque)?;
                Ok(Vec::new())
            }
        }
    }

    /// TCP threw away the command that armed the session's active tuple.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn discard(
        &mut self,
        tuples: &mut Tuples,
        id: u64,
        key: &SessionKey,
    ) -> Result<Option<Happening>, MapError> {
        match self.held.get_mut(&id).and_then(|held| held.active.take()) {
            Some(port) => withdraw(tuples, id, key, Mode::Active, port, Cause::Discarded),
            None => Ok(None),
        }
    }

    /// The session is over.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn close(
        &mut self,
        tuples: &mut Tuples,
        id: u64,
        key: &SessionKey,
    ) -> Result<Vec<Happening>, MapError> {
        self.withdraw(tuples, id, key, Cause::ControlClosed)
    }

    fn arm(
        &mut self,
        tuples: &mut Tuples,
        owner: Owner,
        key: &SessionKey,
        port: u16,
        by: Negotiation,
    ) -> Result<Vec<Happening>, MapError> {
        let (id, mode) = (owner.session, owner.mode);
        let policy = tuples.ports().get(port).policy();
        let closed = policy & bits::PROTECTED_TCP != 0 && policy & bits::OPEN_TCP == 0;
        if mode == Mode::Passive && !closed {
            return Ok(vec![refused(Refusal::NotProtected)]);
        }
        if mode == Mode::Passive && policy & bits::FOREIGN != 0 {
            return Ok(vec![refused(Refusal::ForeignListener)]);
        }
        let mut done = self.withdraw(tuples, id, key, Cause::Replaced)?;
        let (_, armed) = tuples.clients().get(key.client);
        if armed >= self.tuples_per_client {
            done.push(refused(Refusal::TuplesPerClient));
            return Ok(done);
        }
        let armed = tuples.arm(tuple(key, mode, port), owner, self.lifetime)?;
        if armed == Arming::Full {
            done.push(refused(Refusal::TuplesFull));
            return Ok(done);
        }
        let held = self.held.entry(id).or_default();
        match mode {
            Mode::Active => held.active = Some(port),
            _ => held.passive = Some(port),
        }
        done.push(Happening::Armed {
            mode,
            port,
            by: Some(by),
        });
        Ok(done)
    }

    fn withdraw(
        &mut self,
        tuples: &mut Tuples,
        id: u64,
        key: &SessionKey,
        cause: Cause,
    ) -> Result<Vec<Happening>, MapError> {
        let held = self.held.remove(&id).unwrap_or_default();
        let mut done = Vec::new();
        for (mode, port) in [(Mode::Passive, held.passive), (Mode::Active, held.active)] {
            if let Some(port) = port {
                done.extend(withdraw(tuples, id, key, mode, port, cause)?);
            }
        }
        Ok(done)
    }
}

/// What happened, if the tuple was still there.
fn withdraw(
    tuples: &mut Tuples,
    id: u64,
    key: &SessionKey,
    mode: Mode,
    port: u16,
    cause: Cause,
) -> Result<Option<Happening>, MapError> {
    let was_there = tuples.withdraw_of(&tuple(key, mode, port), id)?;
    Ok(was_there.then_some(Happening::Withdrawn { mode, port, cause }))
}

const fn refused(refusal: Refusal) -> Happening {
    Happening::Refused {
        refusal,
        line: None,
    }
}

fn tuple(key: &SessionKey, mode: Mode, port: u16) -> TupleKey {
    match mode {
        Mode::Active => TupleKey::active(key.client, port, key.server),
        _ => TupleKey::passive(key.client, key.server, port),
    }
}
