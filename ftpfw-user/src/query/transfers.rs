//! Transfers that go on: the maps know which there are, sockets how much has gone over them, and the agent what
//! they are for.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use comfy_table::Cell;
use ftpfw_common::abi::{
    event::Bytes,
    keys::SessionKey,
    values::{Mode, Tuple},
};
use tracing::debug;

use super::{
    client,
    model::RunningRow,
    row::{Row, or_none},
    units::{bytes, duration, rate},
};
use crate::{
    agent::{Direction, Running},
    kernel::{
        Maps, Wire, clock,
        clock::ms_between,
        sockets::{self, Counted},
        tuples,
    },
};

/// Those that `maps` has; `known`: what they are for, by their ends.
///
/// # Errors
///
/// Those of the maps.
pub async fn transfers(
    maps: &Maps,
    known: &HashMap<SessionKey, Running>,
) -> anyhow::Result<Vec<RunningRow>> {
    let claimed = maps.claimed_entries()?.collect::<Result<Vec<_>, _>>()?;
    let counted = match claimed.is_empty() {
        true => Counted::new(),
        false => counted().await,
    };
    let now = clock::now();
    let rows = claimed.into_iter().map(|(Wire(key), Wire(tuple))| {
        let connection = tuples::connection(&key);
        let counted = counted.get(&connection);
        let counted = counted.map(|counted| without_syn(*counted, &tuple));
        row(&connection, &tuple, known.get(&connection), counted, now)
    });
    Ok(rows.collect())
}

/// Those that the agent tells; without one, what maps and sockets tell.
///
/// # Errors
///
/// As [`transfers`], and when an agent is there and answers nonsense.
pub async fn told(socket: &Path, maps: &Maps) -> anyhow::Result<(Vec<RunningRow>, bool)> {
    let told = client::unless_silent(client::get(socket, "/transfers").await)?;
    Ok(match told {
        Some(rows) => (rows, true),
        None => (transfers(maps, &HashMap::new()).await?, false),
    })
}

/// A kernel that cannot tell is no reason to tell nothing.
async fn counted() -> Counted {
    let counted = sockets::counted().await;
    counted
        .inspect_err(|error| debug!("nobody knows how much was transferred: {error:#}"))
        .unwrap_or_default()
}

/// This host's SYN counts as a byte that it sent.
const fn without_syn(counted: Bytes, tuple: &Tuple) -> Bytes {
    Bytes {
        acknowledged: counted
            .acknowledged
            .saturating_sub((tuple.mode == Mode::Active as u8) as u64),
        ..counted
    }
}

fn row(
    connection: &SessionKey,
    tuple: &Tuple,
    known: Option<&Running>,
    counted: Option<Bytes>,
    now: u64,
) -> RunningRow {
    let direction = Direction::of(known.and_then(|it| it.direction), counted);
    let bytes = direction
        .zip(counted)
        .map(|(it, counted)| it.bytes(counted));
    let duration_ms = ms_between(tuple.until, now);
    let length = known.and_then(|it| it.length);
    RunningRow {
        client: connection.client.into(),
        client_port: connection.client_port,
        server: connection.server.into(),
        port: connection.server_port,
        mode: tuples::mode_name(tuple).to_owned(),
        session: (tuple.session != 0).then_some(tuple.session),
        user: known.and_then(|it| it.user.clone()),
        command: known.and_then(|it| it.command).map(str::to_owned),
        path: known.and_then(|it| it.path.clone()),
        direction: direction.map(|it| it.name().to_owned()),
        bytes,
        // More than that came: it was the length of something else.
        length: length.filter(|length| bytes.is_none_or(|bytes| bytes <= *length)),
        duration_ms,
        bytes_per_second: bytes.map(|bytes| bytes.saturating_mul(1000) / duration_ms.max(1)),
    }
}

impl Row for RunningRow {
    const NOTHING: &'static str = "no transfers";
    const HEADER: &'static [&'static str] = &[
        "CLIENT", "SERVER", "MODE", "SESSION", "USER", "BYTES", "OF", "DONE", "RATE", "AGE",
        "COMMAND",
    ];
    const NUMBERS: &'static [usize] = &[3, 5, 6, 7, 8, 9];
    const FIELDS: &'static [&'static str] = &[
        "client",
        "client_port",
        "server",
        "port",
        "mode",
        "session",
        "user",
        "command",
        "path",
        "direction",
        "bytes",
        "length",
        "duration_ms",
        "bytes_per_second",
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(SocketAddr::new(self.client, self.client_port)),
            Cell::new(SocketAddr::new(self.server, self.port)),
            Cell::new(&self.mode),
            Cell::new(or_none(self.session)),
            Cell::new(or_none(self.user.as_ref())),
            Cell::new(or_none(self.bytes.map(bytes))),
            Cell::new(or_none(self.length.map(bytes))),
            Cell::new(or_none(self.percent().map(|it| format!("{it} %")))),
            Cell::new(or_none(self.bytes_per_second.map(rate))),
            Cell::new(duration(self.duration_ms)),
            Cell::new(self.what()),
        ]
    }

    fn client(&self) -> Option<IpAddr> {
        Some(self.client)
    }
}
