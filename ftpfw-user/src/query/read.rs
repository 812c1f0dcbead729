//! Rows out of the maps; the command line and the agent's socket both answer with these.

use std::net::IpAddr;

use anyhow::bail;
use ftpfw_common::{
    Address,
    abi::{
        keys::{FlowKey, SessionKey, TupleKey},
        values::{Flow, Session, Tuple},
    },
    control::State,
    packet::protocol,
    reason::{Counter, Loss, Negotiation, Nic, Reason, Refusal},
};

use super::model::{FlowRow, InterfaceRow, ListenerRow, SessionRow, Stats, TupleRow};
use crate::kernel::{
    Counters, Maps, PinDir, Wire, clock,
    clock::ms_between,
    pins::{AttachedMode, PinnedInterface},
    tuples::mode_name,
};

/// All tuples that admit something now, or did: armed ones that are not expired, and claimed ones, as
/// the maps give them.
///
/// # Errors
///
/// Those of the maps; so with all rows.
pub fn tuples(maps: &Maps) -> anyhow::Result<impl Iterator<Item = anyhow::Result<TupleRow>>> {
    let (armed, now) = (armed(maps)?, clock::now());
    let claimed = maps.claimed_entries()?.map(move |entry| {
        let (Wire(key), Wire(tuple)) = entry?;
        Ok(tuple_row(&key, &tuple, "claimed", now))
    });
    Ok(armed.chain(claimed))
}

/// Tuples that are armed and not expired.
///
/// # Errors
///
/// As [`tuples`].
pub fn armed(maps: &Maps) -> anyhow::Result<impl Iterator<Item = anyhow::Result<TupleRow>>> {
    let now = clock::now();
    Ok(maps.armed_entries()?.filter_map(move |entry| match entry {
        Ok((_, Wire(tuple))) if tuple.until <= now => None,
        Ok((Wire(key), Wire(tuple))) => Some(Ok(armed_row(&key, &tuple, now))),
        Err(error) => Some(Err(error.into())),
    }))
}

/// A tuple of `ARMED`, `now` in ns of the maps' clock.
pub(super) fn armed_row(key: &TupleKey, tuple: &Tuple, now: u64) -> TupleRow {
    TupleRow {
        expires_in_ms: Some(ms_between(now, tuple.until)),
        ..tuple_row(key, tuple, "armed", now)
    }
}

fn tuple_row(key: &TupleKey, tuple: &Tuple, state: &str, now: u64) -> TupleRow {
    TupleRow {
        client: key.client.into(),
        client_port: (key.client_port != 0).then_some(key.client_port),
        server: key.server.into(),
        port: (key.server_port != 0).then_some(key.server_port),
        mode: mode_name(tuple).to_owned(),
        state: state.to_owned(),
        session: (tuple.session != 0).then_some(tuple.session),
        age_ms: ms_between(tuple.armed_at(), now),
        expires_in_ms: None,
    }
}

/// What FTP daemons listen on, on protected ports.
///
/// # Errors
///
/// Those of the map.
pub fn listeners(maps: &Maps) -> anyhow::Result<impl Iterator<Item = anyhow::Result<ListenerRow>>> {
    let now = clock::now();
    let one = |address: Address| (!address.is_unspecified()).then(|| IpAddr::from(address));
    Ok(maps.listener_entries()?.map(move |entry| {
        let (Wire(key), Wire(listener)) = entry?;
        Ok(ListenerRow {
            server: one(key.server),
            port: key.port,
            daemon: listener.daemon,
            client: one(listener.client),
            session: (listener.session != 0).then_some(listener.session),
            age_ms: ms_between(listener.opened_at, now),
        })
    }))
}

/// Flows of no local socket that have not been silent for too long.
///
/// # Errors
///
/// Those of the map.
pub fn flows(maps: &Maps) -> anyhow::Result<impl Iterator<Item = anyhow::Result<FlowRow>>> {
    let now = clock::now();
    Ok(maps.flow_entries()?.filter_map(move |entry| match entry {
        Ok((_, Wire(flow))) if flow.until <= now => None,
        Ok((Wire(key), Wire(flow))) => Some(Ok(flow_row(&key, &flow, now))),
        Err(error) => Some(Err(error.into())),
    }))
}

fn flow_row(key: &FlowKey, flow: &Flow, now: u64) -> FlowRow {
    let protocol = match u8::try_from(key.protocol) {
        Ok(protocol::TCP) => "tcp",
        _ => "udp",
    };
    let state = match flow.state {
        Flow::HANDSHAKE => "handshake",
        Flow::CLOSING => "closing",
        _ => "live",
    };
    FlowRow {
        protocol: protocol.to_owned(),
        remote: key.remote.into(),
        remote_port: key.remote_port,
        local: key.local.into(),
        local_port: key.local_port,
        state: state.to_owned(),
        expires_in_ms: ms_between(now, flow.until),
    }
}

/// All control connections, with what the kernel knows of them: neither user nor commands.
///
/// # Errors
///
/// Those of the map.
pub fn sessions(maps: &Maps) -> anyhow::Result<impl Iterator<Item = anyhow::Result<SessionRow>>> {
    let now = clock::now();
    Ok(maps
        .session_entries()?
        .map(move |entry| entry.map(|(key, session)| session_row(&key, &session, now))))
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
        adopted: state.has(State::ADOPTED),
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
