//! What follows from the engine's events: tuples armed and withdrawn, refusals counted.
//!
//! Each function takes the walk that the event came from, whose session and record are live map
//! values; that is the contract of every `unsafe fn` here. They are functions of their own for the
//! sake of the stack: 512 bytes for all frames together.

use ftpfw_common::{
    abi::{
        event::{Cause, Kind},
        keys::{SessionKey, TupleKey},
        policy::port,
        values::{Mode, Session},
    },
    reason::{Counter, Negotiation, Refusal},
};

use crate::{
    count,
    events::{self, Detail},
    lookup::{self, TCP_LISTEN},
    maps::PORTS,
    sessions::{self, Named},
    tuples::{self, Owner},
    walk::Walk,
};

/// The tuple that the reply announced, before the reply leaves. The one that it replaces is withdrawn
/// before, and not from within `put_passive`: kernels such as 6.1 round each frame up to 32 bytes, and
/// both together are then too deep.
#[inline(always)]
pub unsafe fn arm_passive(walk: &Walk, announced: u16, by: Negotiation) {
    // SAFETY: the walk's session and record are live map values.
    unsafe {
        let (_, key, _) = context(walk);
        match may_arm(walk, key, announced) {
            Ok(()) => {
                withdraw(walk, Cause::Replaced);
                put_passive(walk, announced, by);
            }
            Err(refusal) => refuse(walk, refusal, announced),
        }
    }
}

/// What the server may dial.
#[inline(always)]
pub unsafe fn arm_active(walk: &Walk, dialled: u16, by: Negotiation) {
    // SAFETY: as above.
    unsafe {
        withdraw(walk, Cause::Replaced);
        put_active(walk, dialled, by);
    }
}

#[inline(never)]
unsafe fn put_passive(walk: &Walk, announced: u16, by: Negotiation) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    let tuple = TupleKey::passive(key.client, key.server, announced);
    session.shared.set_passive_port(announced);
    match tuples::arm(&tuple, &owner(walk, session, Mode::Passive), now) {
        // SAFETY: as above.
        Ok(()) => unsafe { armed(walk, announced, Mode::Passive, by) },
        // SAFETY: as above.
        Err(refusal) => unsafe { refuse(walk, refusal, announced) },
    }
}

#[inline(never)]
unsafe fn put_active(walk: &Walk, dialled: u16, by: Negotiation) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    let tuple = TupleKey::active(key.client, dialled, key.server);
    session.shared.set_active_port(dialled);
    match tuples::arm(&tuple, &owner(walk, session, Mode::Active), now) {
        // SAFETY: as above.
        Ok(()) => unsafe { armed(walk, dialled, Mode::Active, by) },
        // SAFETY: as above.
        Err(refusal) => unsafe { refuse(walk, refusal, dialled) },
    }
}

#[inline(never)]
pub unsafe fn withdraw_active(walk: &Walk, dialled: u16) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    sessions::withdraw_one(session.id, key, Named::active(dialled), Cause::Refused, now);
}

#[inline(never)]
pub unsafe fn withdraw(walk: &Walk, cause: Cause) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    sessions::withdraw(session, key, cause, now);
}

/// The session, its key and the time of the segment.
#[inline(always)]
unsafe fn context(walk: &Walk) -> (&Session, &SessionKey, u64) {
    // SAFETY: the caller's: session and record are live map values. Only `shared` and what never
    // changes is read of the session.
    unsafe {
        (
            &*walk.session,
            &(*walk.record).header.key,
            (*walk.record).header.at,
        )
    }
}

#[inline(always)]
fn owner(walk: &Walk, session: &Session, mode: Mode) -> Owner {
    Owner {
        session: session.id,
        mode,
        local: walk.local != 0,
    }
}

/// Whether an announced port is one that a tuple may open.
#[inline(never)]
fn may_arm(walk: &Walk, key: &SessionKey, announced: u16) -> Result<(), Refusal> {
    let policy = PORTS
        .get(u32::from(announced))
        .map_or(0, |entry| entry.policy());
    if policy & port::PROTECTED_TCP == 0 || policy & port::OPEN_TCP != 0 {
        return Err(Refusal::NotProtected);
    }
    if policy & port::FOREIGN != 0 {
        return Err(Refusal::ForeignListener);
    }
    if walk.local == 0 {
        // The daemon is behind this host, in a container: its listeners cannot be seen from here.
        return Ok(());
    }
    // No connection has client port 0: only the listener can be found.
    let listener = SessionKey {
        client_port: 0,
        server_port: announced,
        ..*key
    };
    if lookup::state(walk.skb.cast(), &listener) == TCP_LISTEN {
        Ok(())
    } else {
        Err(Refusal::NotListening)
    }
}

#[inline(always)]
unsafe fn armed(walk: &Walk, port: u16, mode: Mode, by: Negotiation) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    count::add(Counter::Armed(by));
    let detail = Detail {
        port,
        detail: mode as u8,
        number: by as u32,
        // SAFETY: as above.
        direction: unsafe { (*walk.record).header.direction },
    };
    events::send(Kind::Armed, session.id, key, now, detail);
}

/// A negotiation that arms nothing.
#[inline(never)]
pub unsafe fn refuse(walk: &Walk, refusal: Refusal, port: u16) {
    // SAFETY: the walk's session and record are live map values.
    let (session, key, now) = unsafe { context(walk) };
    count::add(Counter::Refused(refusal));
    let detail = Detail {
        port,
        number: refusal as u32,
        // SAFETY: as above.
        direction: unsafe { (*walk.record).header.direction },
        detail: 0,
    };
    events::send(Kind::Refused, session.id, key, now, detail);
}
