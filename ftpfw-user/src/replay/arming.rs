//! What the conclusions of a session do to the tuples. Mirrors `walk.rs` and `sessions.rs` of
//! ftpfw-ebpf, but that it believes an announced port: a capture does not show who listens.

use ftpfw_common::{
    abi::{
        event::Cause,
        keys::{PairKey, SessionKey, TupleKey},
        values::Mode,
    },
    control::Conclusion,
    reason::{Negotiation, Refusal},
};

use super::{
    model::{NegotiationRow, us},
    session::Session,
    world::World,
};

/// Both ends of a connection.
#[must_use]
pub const fn pair(key: &SessionKey) -> PairKey {
    PairKey {
        client: key.client,
        server: key.server,
    }
}

/// Does what a conclusion asks for; `line` is where it stood.
pub fn conclude(session: &mut Session, conclusion: Conclusion, line: String, world: &mut World) {
    match conclusion {
        Conclusion::ArmPassive { port, by } => arm_passive(session, port, by, line, world),
        Conclusion::ArmActive { port, by } => arm_active(session, port, by, line, world),
        Conclusion::WithdrawActive { port } => {
            withdraw_one(session, Mode::Active, port, Cause::Refused, world);
        }
        Conclusion::Withdraw(cause) => withdraw(session, cause, world),
        Conclusion::Refused(refusal) => session.refused(refusal, line, world.now),
        Conclusion::LoggedIn => session.logged_in(),
        Conclusion::Opaque => {
            session.row.tls = true;
            *world.opaque.entry(pair(&session.key)).or_default() += 1;
        }
        Conclusion::Plain => forget_opaque(&session.key, world),
    }
}

fn arm_passive(
    session: &mut Session,
    announced: u16,
    by: Negotiation,
    line: String,
    world: &mut World,
) {
    if !world.is_closed(announced) {
        return session.refused(Refusal::NotProtected, line, world.now);
    }
    withdraw(session, Cause::Replaced, world);
    session.passive_port = announced;
    world.arm(
        tuple(session, Mode::Passive, announced),
        session.id,
        Mode::Passive,
    );
    let row = NegotiationRow::new(world.now, by, Mode::Passive, announced, line);
    session.armed(row);
}

fn arm_active(
    session: &mut Session,
    dialled: u16,
    by: Negotiation,
    line: String,
    world: &mut World,
) {
    withdraw(session, Cause::Replaced, world);
    session.active_port = dialled;
    world.arm(
        tuple(session, Mode::Active, dialled),
        session.id,
        Mode::Active,
    );
    let row = NegotiationRow::new(world.now, by, Mode::Active, dialled, line);
    session.armed(row);
}

/// Withdraws what the session has armed and nobody claimed.
fn withdraw(session: &mut Session, cause: Cause, world: &mut World) {
    for (mode, port) in [
        (Mode::Passive, session.passive_port),
        (Mode::Active, session.active_port),
    ] {
        if port != 0 {
            withdraw_one(session, mode, port, cause, world);
        }
    }
}

fn withdraw_one(session: &mut Session, mode: Mode, port: u16, cause: Cause, world: &mut World) {
    if world.withdraw(&tuple(session, mode, port), session.id) {
        session.withdrawn(mode, port, cause, world.now);
    }
}

const fn tuple(session: &Session, mode: Mode, port: u16) -> TupleKey {
    let key = &session.key;
    match mode {
        Mode::Active => TupleKey::active(key.client, port, key.server),
        _ => TupleKey::passive(key.client, key.server, port),
    }
}

/// The control connection ends: nothing is armed any more, what was is withdrawn.
pub fn end(session: &mut Session, world: &mut World) {
    session.end();
    withdraw(session, Cause::ControlClosed, world);
    session.row.ended_at_us.get_or_insert(us(world.now));
}

/// A session that was encrypted is so no more, or over.
pub fn forget_opaque(key: &SessionKey, world: &mut World) {
    if let Some(count) = world.opaque.get_mut(&pair(key)) {
        *count -= 1;
        if *count == 0 {
            world.opaque.remove(&pair(key));
        }
    }
}
