//! What FTP daemons listen on, and who may connect there: clients whose sessions cannot be read
//! (DESIGN §7). The only code that changes `LISTENERS` and `ENTITLED`.
//!
//! A port's count of listeners goes up before an entry appears and down only where its deletion
//! succeeded, as with tuples.

use core::ptr;

use aya_ebpf::bindings::BPF_NOEXIST;
use ftpfw_common::{
    Address,
    abi::{
        idle::Place,
        keys::{EntitledKey, ListenerKey, SessionKey, TupleKey},
        policy::ftps,
        values::{Entitled, Listener, Mode, PortEntry, Tuple},
    },
    reason::{Counter, Refusal},
};

use crate::{
    atomic, count, events, idle,
    kernel::EARLY,
    maps::{CLAIMED, DAEMONS, ENTITLED, LISTENERS, PORTS, settings},
    tally,
};

/// The daemon behind a control port. Who has several ports is known by one of them.
#[inline(always)]
pub fn daemon_of(port: u16) -> u32 {
    let port = u32::from(port);
    // SAFETY: one word is read.
    unsafe { DAEMONS.get(port) }.copied().unwrap_or(port)
}

/// Adds to, or with its negative takes from, a port's count of listeners.
#[inline(always)]
fn change_count(port: u32, change: u64) {
    if let Some(entry) = PORTS.get_ptr_mut(port) {
        // SAFETY: an aligned u64 of an array map, which user space too changes by atomics only.
        unsafe { atomic::add(entry.cast(), change) };
    }
}

/// A daemon listens. In force when this returns: before its listen() does.
#[inline(always)]
pub fn opened(key: &ListenerKey, daemon: u32, now: u64) {
    if settings().is_none_or(|settings| settings.ftps != ftps::LISTENER) {
        return;
    }
    let listener = Listener {
        opened_at: now,
        session: 0,
        client: Address::UNSPECIFIED,
        daemon,
        admitted: 0,
    };
    if PORTS
        .get(key.port)
        .is_none_or(|entry| entry.listeners() >= PortEntry::MAX_LISTENERS)
    {
        return count::add(Counter::Refused(Refusal::ListenersFull));
    }
    change_count(key.port, PortEntry::ONE_LISTENER);
    idle::busy(Place::tcp(key.port as u16));
    if LISTENERS
        .insert(key, listener, u64::from(BPF_NOEXIST))
        .is_err()
    {
        change_count(key.port, PortEntry::ONE_LISTENER.wrapping_neg());
        count::add(Counter::Refused(Refusal::ListenersFull));
    }
}

/// The listener is gone, or has had its one connection. Whether it was there.
#[inline(always)]
pub fn remove(key: &ListenerKey) -> bool {
    let removed = LISTENERS.remove(key).is_ok();
    if removed {
        change_count(key.port, PortEntry::ONE_LISTENER.wrapping_neg());
    }
    removed
}

/// The key of the listener that would take this connection, if its client may connect.
#[inline(always)]
pub fn listens_for(tuple: &TupleKey) -> Option<ListenerKey> {
    let mut key = ListenerKey {
        server: tuple.server,
        port: u32::from(tuple.server_port),
    };
    if !is_for(&key, tuple) {
        key.server = Address::UNSPECIFIED;
        if !is_for(&key, tuple) {
            return None;
        }
    }
    Some(key)
}

#[inline(always)]
fn is_for(key: &ListenerKey, tuple: &TupleKey) -> bool {
    // SAFETY: an entry that is reused meanwhile is another listener of this moment.
    let Some(listener) = (unsafe { LISTENERS.get(key) }) else {
        return false;
    };
    let entitled = EntitledKey {
        client: tuple.client,
        server: tuple.server,
        daemon: listener.daemon,
    };
    // SAFETY: as above.
    let entitled = unsafe { ENTITLED.get(entitled) };
    // `is_for` takes a count for what it is, never below zero.
    let entitled = entitled.filter(|it| !EARLY || tally::is_some(it.sessions));
    listener.is_for(&tuple.client, entitled)
}

/// A connection is established; if a listener let it in, that one lets in no other.
#[inline(never)]
pub fn claim(tuple: &TupleKey, connection: &TupleKey, now: u64) {
    let Some(key) = listens_for(tuple) else {
        return;
    };
    // SAFETY: copied at once.
    let Some(listener) = unsafe { LISTENERS.get(key) }.copied() else {
        return;
    };
    if !remove(&key) {
        return;
    }
    let claimed = Tuple::new(listener.session, Mode::Opaque, listener.opened_at, now);
    // A full map costs the record of the transfer, not the transfer: its socket lets it through.
    let _ = CLAIMED.insert(connection, claimed, 0);
    events::claimed(connection, &claimed, now);
}

/// The client has one opaque session more on a daemon.
#[inline(always)]
pub fn entitle(key: &SessionKey, daemon: u32, born_at: u64) {
    let entitled = EntitledKey {
        client: key.client,
        server: key.server,
        daemon,
    };
    let zero = Entitled {
        sessions: 0,
        since: born_at,
    };
    // Full: the client's passive transfers are refused, and counted at their SYN.
    let Some(entry) = tally::entry(&ENTITLED, &entitled, &zero) else {
        return;
    };
    // SAFETY: a live map value; `sessions` is an aligned u64 that is changed by atomics only, `since` one
    // that is written whole, by whoever is the first.
    unsafe {
        if !tally::is_some(ptr::read_volatile(&raw const (*entry).sessions)) {
            ptr::write_volatile(&raw mut (*entry).since, born_at);
        }
        atomic::add(&raw mut (*entry).sessions, 1);
    }
}

/// One less.
#[inline(always)]
pub fn disentitle(key: &SessionKey, daemon: u32) {
    let entitled = EntitledKey {
        client: key.client,
        server: key.server,
        daemon,
    };
    if let Some(entry) = ENTITLED.get_ptr_mut(entitled) {
        // SAFETY: as above.
        unsafe { tally::take(&raw mut (*entry).sessions) };
    }
}
