//! Arming, claiming and withdrawing: the only code that changes `ARMED` and `CLAIMED`.
//!
//! A port's armed count goes up before an entry appears and down only where its deletion
//! succeeded, so it is never below the number of entries and exact when nothing moves.

use aya_ebpf::bindings::{BPF_EXIST, BPF_NOEXIST};
use ftpfw_common::{
    abi::{
        event::Bytes,
        idle::Place,
        keys::TupleKey,
        values::{Mode, PortEntry, Tuple},
    },
    reason::Refusal,
};

use crate::{
    atomic,
    clients::{self, Counted},
    events, idle,
    maps::{ARMED, CLAIMED, LAST_ARMED, PORTS, settings},
};

/// Counts one tuple more, for its client and, if it is passive, for its port.
#[inline(always)]
fn count_up(key: &TupleKey) {
    clients::count_up(&key.client, Counted::Tuples);
    if key.is_passive() {
        count_at_port(key, PortEntry::ONE_ARMED);
        idle::busy(Place::tcp(key.server_port));
    }
}

/// One less.
#[inline(always)]
fn count_down(key: &TupleKey) {
    clients::count_down(&key.client, Counted::Tuples);
    if key.is_passive() {
        count_at_port(key, PortEntry::ONE_ARMED.wrapping_neg());
    }
}

#[inline(always)]
fn count_at_port(key: &TupleKey, change: u64) {
    if let Some(entry) = PORTS.get_ptr_mut(u32::from(key.server_port)) {
        // SAFETY: an aligned u64 of an array map, which user space too changes by atomics only.
        unsafe { atomic::add(entry.cast(), change) };
    }
}

/// Who arms a tuple, and for what.
pub struct Owner {
    pub session: u64,
    pub mode: Mode,
    /// The daemon's socket is on this host.
    pub local: bool,
}

/// Arms a tuple, or gives one that is armed already a new deadline and session.
#[inline(always)]
pub fn arm(key: &TupleKey, owner: &Owner, now: u64) -> Result<(), Refusal> {
    if !clients::may_have_more(&key.client, Counted::Tuples) && ARMED.get_ptr(key).is_none() {
        return Err(Refusal::TuplesPerClient);
    }
    let lifetime = settings().map_or(0, |settings| settings.tuple_lifetime);
    let tuple = Tuple {
        forwarded: u8::from(!owner.local),
        ..Tuple::new(owner.session, owner.mode, now, now + lifetime)
    };
    if key.is_passive()
        && let Some(last) = LAST_ARMED.get_ptr_mut(u32::from(key.server_port))
    {
        // SAFETY: alive during the program. A torn write makes a later search fail, and the tuple
        // then ends at its deadline.
        unsafe { *last = *key };
    }
    count_up(key);
    if ARMED.insert(key, tuple, u64::from(BPF_NOEXIST)).is_err() {
        count_down(key);
        ARMED
            .insert(key, tuple, u64::from(BPF_EXIST))
            .map_err(|_| Refusal::TuplesFull)?;
    }
    idle::busy(Place::tuple(key));
    Ok(())
}

/// Takes a tuple that nobody claimed away from `session`; `false` if it is not there or not its.
#[inline(always)]
pub fn withdraw(key: &TupleKey, session: u64) -> bool {
    // SAFETY: one word is read; should the entry be reused meanwhile, the sessions differ.
    let owner = unsafe { ARMED.get(key) }.map(|tuple| tuple.session);
    owner == Some(session) && remove(key)
}

/// Takes a tuple away, whosever it is.
#[inline(always)]
pub fn remove(key: &TupleKey) -> bool {
    let removed = ARMED.remove(key).is_ok();
    if removed {
        count_down(key);
    }
    removed
}

/// The connection that `key` allows is made: `connection` names both its ports. `false` if nothing
/// allowed it.
#[inline(always)]
pub fn claim(key: &TupleKey, connection: &TupleKey, now: u64) -> bool {
    // SAFETY: copied at once; an entry reused meanwhile would be another live tuple of this moment.
    let Some(mut tuple) = unsafe { ARMED.get(key) }.copied() else {
        return false;
    };
    if !remove(key) {
        return false;
    }
    tuple.claim(now);
    // A full map costs the record of the transfer, not the transfer: its socket lets it through.
    let _ = CLAIMED.insert(connection, tuple, 0);
    events::claimed(connection, &tuple, now);
    true
}

/// The connection is over; `bytes` tells what went over it.
#[inline(always)]
pub fn finish(connection: &TupleKey, bytes: impl FnOnce() -> Bytes, now: u64) {
    // SAFETY: as in `claim`.
    let Some(tuple) = unsafe { CLAIMED.get(connection) }.copied() else {
        return;
    };
    if CLAIMED.remove(connection).is_ok() {
        let mut bytes = bytes();
        // The SYN of a connection that this host opened.
        if tuple.mode == Mode::Active as u8 {
            bytes.acknowledged = bytes.acknowledged.saturating_sub(1);
        }
        events::finished(connection, &tuple, &bytes, now);
    }
}
