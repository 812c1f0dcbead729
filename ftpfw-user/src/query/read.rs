//! Rows out of the maps; the command line and the agent's socket both answer with these.

use std::net::IpAddr;

use anyhow::bail;
use ftpfw_common::{
    Address,
    abi::{
        keys::{SessionKey, TupleKey},
        values::{Mode, Session, Tuple},
    },
    control::State,
    reason::{Counter, Loss, Negotiation, Nic, Reason, Refusal},
};

use super::model::{InterfaceRow, ListenerRow, SessionRow, Stats, TupleRow};
use crate::kernel::{
    Counters, Maps, PinDir, Wire, clock,
    clock::ms_between,
    pins::{AttachedMode, PinnedInterface},
};

/// All tuples that admit something now, or did: armed ones that are not expired, and claimed ones.
///
/// # Errors
///
/// Those of the maps.
pub fn tuples(maps: &Maps) -> anyhow::Result<Vec<TupleRow>> {
    let now = clock::now();
    let (armed, claimed) = maps.all_tuples()?;
    let armed = armed
        .iter()
        .filter(|(_, tuple)| tuple.until > now)
        .map(|(key, tuple)| TupleRow {
            expires_in_ms: Some(ms_between(now, tuple.until)),
            ..tuple_row(key, tuple, "armed", now)
        });
    let claimed = claimed
        .iter()
        .map(|(key, tuple)| tuple_row(key, tuple, "claimed", now));
    let mut rows: Vec<_> = armed.chain(claimed).collect();
    rows.sort_by_key(|row| (row.client, row.server, row.port, row.client_port));
    Ok(rows)
}

fn tuple_row(key: &TupleKey, tuple: &Tuple, state: &str, now: u64) -> TupleRow {
    TupleRow {
        client: key.client.into(),
        client_port: (key.client_port != 0).then_some(key.client_port),
        server: key.server.into(),
        port: (key.server_port != 0).then_some(key.server_port),
        mode: Mode::from_u8(tuple.mode)
            .map_or("unknown", Mode::name)
            .to_owned(),
        state: state.to_owned(),
        session: (tuple.session != 0).then_some(tuple.session),
        age_ms: ms_between(tuple.armed_at, now),
        expires_in_ms: None,
    }
}

/// What FTP daemons listen on, on protected ports.
///
/// # Errors
///
/// Those of the maps.
pub fn listeners(maps: &Maps) -> anyhow::Result<Vec<ListenerRow>> {
    let (map, now) = (maps.listeners()?, clock::now());
    let one = |address: Address| (!address.is_unspecified()).then(|| IpAddr::from(address));
    let mut rows = Vec::new();
    for entry in map.iter() {
        let (Wire(key), Wire(listener)) = entry?;
        rows.push(ListenerRow {
            server: one(key.server),
            port: key.port,
            daemon: listener.daemon,
            client: one(listener.client),
            session: (listener.session != 0).then_some(listener.session),
            age_ms: ms_between(listener.opened_at, now),
        });
    }
    rows.sort_by_key(|row| (row.port, row.server));
    Ok(rows)
}

/// All control connections, with what the kernel knows of them: neither user nor commands.
///
/// # Errors
///
/// Those of the maps.
pub fn sessions(maps: &Maps) -> anyhow::Result<Vec<SessionRow>> {
    let now = clock::now();
    let mut rows: Vec<_> = maps
        .sessions()?
        .iter()
        .map(|(key, session)| session_row(key, session, now))
        .collect();
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

fn session_row(key: &SessionKey, session: &Session, now: u64) -> SessionRow {
    let state = session.shared.state();
    SessionRow {
        id: session.id,
        client: key.client.into(),
        client_port: key.client_port,
        server: key.server.into(),
        server_port: key.server_port,
        user: None,
        state: state.name().to_owned(),
        tls: state.has(State::OPAQUE),
        adopted: session.adopted != 0,
        last_command: None,
        transfers: 0,
        bytes_in: 0,
        bytes_out: 0,
        age_ms: ms_between(session.born_at, now),
    }
}

/// Everything that is counted; with an `interface`, its own verdicts only.
///
/// # Errors
///
/// Those of the maps and of the pin directory, and when no such interface is protected.
pub fn stats(maps: &Maps, pins: &PinDir, interface: Option<&str>) -> anyhow::Result<Stats> {
    let counters = maps.counters()?;
    let nic = match interface {
        Some(name) => Some(nic_of(maps, pins, name)?),
        None => None,
    };
    let of = |counter| match nic {
        Some(nic) => counters.of(counter, nic),
        None => counters.get(counter),
    };
    let verdicts = |passed: bool| {
        Reason::ALL
            .iter()
            .filter(move |reason| reason.is_pass() == passed)
            .map(|reason| (reason.name(), of(Counter::Verdict(*reason))))
            .collect()
    };
    Ok(Stats {
        interfaces: interfaces(maps, pins)?,
        pass: verdicts(true),
        drop: verdicts(false),
        would_drop: Reason::ALL
            .iter()
            .map(|reason| (reason.name(), of(Counter::WouldDrop(*reason))))
            .filter(|(_, number)| *number != 0)
            .collect(),
        negotiations: Negotiation::ALL
            .iter()
            .map(|kind| (kind.name(), counters.get(Counter::Armed(*kind))))
            .collect(),
        refused: Refusal::ALL
            .iter()
            .map(|refusal| (refusal.name(), counters.get(Counter::Refused(*refusal))))
            .collect(),
        events_lost: counters.get(Counter::Lost(Loss::EventsLost)),
        losses: Loss::ALL
            .iter()
            .map(|loss| (loss.name(), counters.get(Counter::Lost(*loss))))
            .collect(),
    })
}

/// The counters of a protected interface.
fn nic_of(maps: &Maps, pins: &PinDir, name: &str) -> anyhow::Result<Nic> {
    let interfaces = pins.interfaces()?;
    match interfaces.iter().find(|pinned| pinned.name == name) {
        Some(pinned) => maps.nics()?.of(pinned.index),
        None => bail!(
            "interface {name} is not protected; these are: {}",
            interfaces
                .iter()
                .map(|pinned| pinned.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// Packets passed and dropped, as `of` tells the counters.
fn sums(of: impl Fn(Counter) -> u64) -> (u64, u64) {
    let sum = |passed: bool| {
        Reason::ALL
            .iter()
            .filter(|reason| reason.is_pass() == passed)
            .map(|reason| of(Counter::Verdict(*reason)))
            .sum()
    };
    (sum(true), sum(false))
}

/// Packets passed and dropped on all interfaces.
#[must_use]
pub fn totals(counters: &Counters) -> (u64, u64) {
    sums(|counter| counters.get(counter))
}

/// The protected interfaces.
///
/// # Errors
///
/// Those of the maps and of the pin directory.
pub fn interfaces(maps: &Maps, pins: &PinDir) -> anyhow::Result<Vec<InterfaceRow>> {
    let (counters, nics) = (maps.counters()?, maps.nics()?);
    let row = |pinned: PinnedInterface| {
        let nic = nics.of(pinned.index)?;
        let (passed, dropped) = sums(|counter| counters.of(counter, nic));
        Ok(InterfaceRow {
            name: pinned.name,
            mode: pinned.mode.map_or("none", AttachedMode::name).to_owned(),
            passed,
            dropped,
        })
    };
    pins.interfaces()?.into_iter().map(row).collect()
}

/// Whether a row is about this client; `None` asks for all.
#[must_use]
pub fn is_of(client: IpAddr, wanted: Option<IpAddr>) -> bool {
    wanted.is_none_or(|wanted| wanted.to_canonical() == client)
}
