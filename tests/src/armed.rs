//! Tuples put straight into the maps of a running ftpfw: more than a test would negotiate.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData};
use ftpfw_common::Address;
use ftpfw_common::abi::idle::Place;
use ftpfw_common::abi::keys::TupleKey;
use ftpfw_common::abi::maps;
use ftpfw_common::abi::values::{Mode, PortEntry, Tuple};
use rustix::time::{ClockId, clock_gettime};
use zerocopy::IntoBytes as _;

type Key = [u8; size_of::<TupleKey>()];
type Value = [u8; size_of::<Tuple>()];

/// An hour, ns.
const LIFETIME: u64 = 3600 * 1_000_000_000;

/// Arms each of `ports` for `clients` addresses of 172.16.0.0/12, the maps being pinned under `pins`. Not
/// counted for the clients: nobody may claim these tuples.
///
/// # Errors
/// When a map is missing or full.
pub fn for_others(
    pins: &Path,
    server: Ipv4Addr,
    ports: RangeInclusive<u16>,
    clients: u32,
) -> Result<()> {
    let mut armed: HashMap<_, Key, Value> = open(pins, maps::ARMED)?.try_into()?;
    let mut entries: Array<_, u64> = open(pins, maps::PORTS)?.try_into()?;
    let mut idle: Array<_, u64> = open(pins, maps::IDLE)?.try_into()?;
    let server = Address::v4(server.octets());
    let armed_at = now();
    let tuple = Tuple::new(0, Mode::Manual, armed_at, armed_at + LIFETIME);
    for port in ports {
        // Nothing of the programs' happens on these ports yet: a plain sum is right.
        let before = entries.get(&u32::from(port), 0)?;
        let after = before + PortEntry::ONE_ARMED * u64::from(clients);
        entries.set(u32::from(port), after, 0)?;
        // Of its neighbours too, and so with each tuple: that is never wrong.
        idle.set(Place::tcp(port).word, 0, 0)?;
        for client in 0..clients {
            let client = Address::v4((0xac10_0000 + client).to_be_bytes());
            let key = TupleKey::passive(client, server, port);
            let place = Place::tuple(&key);
            let key: Key = key.as_bytes().try_into().context("the size of a key")?;
            let value: Value = tuple.as_bytes().try_into().context("the size of a tuple")?;
            armed.insert(key, value, 0)?;
            idle.set(place.word, 0, 0)?;
        }
    }
    Ok(())
}

fn open(pins: &Path, name: &str) -> Result<Map> {
    let path = pins.join(name);
    let map = MapData::from_pin(&path).with_context(|| format!("open {}", path.display()))?;
    Ok(Map::from_map_data(map)?)
}

/// `CLOCK_MONOTONIC`, ns.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
