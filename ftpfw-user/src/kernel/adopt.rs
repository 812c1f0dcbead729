//! Maps that an earlier run pinned: whether they may be adopted, and what is different from what is asked for.

use anyhow::bail;
use aya::maps::{Array, Map, MapData};
use ftpfw_common::abi::{
    self,
    policy::{Settings, port::FOREIGN},
};

use super::{LoadOptions, MapSizes, Maps, PinDir, Wire, detach};

/// Refuses pinned maps that another version of ftpfw wrote, or of which some are gone; removes those of
/// a run that died while it loaded, before it attached anything.
pub(super) fn check_pinned(pins: &PinDir) -> anyhow::Result<()> {
    if !pins.in_use() {
        return Ok(());
    }
    let found = pinned_settings(pins).map_or(0, |settings| settings.abi_version);
    let wrong = match (found, pins.missing_map()) {
        (abi::VERSION, None) => return Ok(()),
        (0 | abi::VERSION, _) if !pins.has_links() => return detach::maps(pins),
        // New programs with a new map beside the old ones would know nothing of what it held.
        (0 | abi::VERSION, Some(name)) => format!("is incomplete: the map {name} is missing"),
        _ => format!(
            "holds maps of another ftpfw (version {} of the layout, this is {})",
            if found == 0 {
                "unknown".to_owned()
            } else {
                found.to_string()
            },
            abi::VERSION
        ),
    };
    let path = pins.path().display();
    bail!("{path} {wrong}: remove it all with `ftpfw detach --pin-dir {path}`, then run again")
}

/// Whether the pinned maps hold another policy than the one that they are adopted with.
pub(super) fn differs(maps: &Maps, options: &LoadOptions) -> anyhow::Result<bool> {
    let Wire(settings) = maps.settings()?.get(&0, 0)?;
    // What is found out on attaching is nobody's policy.
    let wanted = Settings {
        claim_on_syn: settings.claim_on_syn,
        partial_checksums: settings.partial_checksums,
        seed: settings.seed,
        ..options.settings
    };
    let ports = maps.ports()?;
    let policy = |port| ports.get(port).policy() & !FOREIGN;
    let table = options.ports.table();
    Ok(settings != wanted
        || (0..=u16::MAX)
            .zip(table)
            .any(|(port, bits)| policy(port) != bits))
}

/// A map that was adopted has the size that it was made with.
pub(super) fn warn_of_sizes(maps: &Maps, sizes: MapSizes) -> anyhow::Result<()> {
    for (name, wanted) in sizes.by_map() {
        let size = maps.size(name)?;
        if size != wanted {
            tracing::warn!(
                "{name} keeps room for {size} entries, not {wanted}, until `ftpfw detach`"
            );
        }
    }
    Ok(())
}

/// The settings that are pinned; `None` if not even they can be read. Another version's may be shorter or
/// longer: only their first field, the version, is then right.
pub(super) fn pinned_settings(pins: &PinDir) -> Option<Settings> {
    let map = MapData::from_pin(pins.map(abi::maps::SETTINGS)).ok()?;
    let settings: Array<MapData, Wire<Settings>> = Map::from_map_data(map).ok()?.try_into().ok()?;
    Some(settings.get(&0, 0).ok()?.0)
}
