//! Packets of a capture, taken out of their file: to be put into another, or changed on the way.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use ftpfw_user::{config::PortPolicy, replay};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::table::here;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Seconds since 1970.
    pub seconds: u32,
    /// And nanoseconds.
    pub nanoseconds: u32,
    /// From the link-layer header on.
    pub bytes: Vec<u8>,
}

/// The packets of one of the repository's captures: little-endian, nanoseconds, Ethernet.
pub fn of(name: &str) -> Result<Vec<Packet>> {
    let file = fs::read(here().join(name))?;
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?))
    };
    assert_eq!(word(0), Some(0xa1b2_3c4d), "{name}");
    let mut packets = Vec::new();
    let mut at = 24;
    while let (Some(seconds), Some(nanoseconds), Some(length)) =
        (word(at), word(at + 4), word(at + 8))
    {
        let end = at + 16 + length as usize;
        let bytes = file.get(at + 16..end).context("cut off")?.to_vec();
        packets.push(Packet {
            seconds,
            nanoseconds,
            bytes,
        });
        at = end;
    }
    Ok(packets)
}

/// A pcap file of these packets, as `of` reads it.
pub fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 0x4_0000, 1] {
        file.extend(word.to_le_bytes());
    }
    for packet in packets {
        let length = packet.bytes.len() as u32;
        for word in [packet.seconds, packet.nanoseconds, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&packet.bytes);
    }
    file
}

/// What a file of these bytes comes to, as JSON, without times and the file's name.
pub fn outcome(file: &[u8]) -> Result<Value> {
    let temporary = NamedTempFile::new()?;
    fs::write(temporary.path(), file)?;
    outcome_of(temporary.path())
}

/// The same for a file.
pub fn outcome_of(path: &Path) -> Result<Value> {
    let report = replay::report(path, &[], &PortPolicy::default())?;
    let mut value = serde_json::to_value(report)?;
    strip(&mut value);
    Ok(value)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !name.ends_with("_us") && name != "file");
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}
