//! Programs of others on an interface: what ftpfw would run beside, or stands in its way.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use aya::programs::{SchedClassifier, TcAttachType};
use futures_util::TryStreamExt as _;

use super::{
    PinDir,
    pins::{self, filter_of},
    xdp,
};
use crate::config::Interface;

/// A program that is not ftpfw's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its number; `None` for a filter that is no program, or does not tell.
    pub id: Option<u32>,
    /// Its name, where this process may know it.
    pub name: Option<String>,
    /// Where it is: `XDP`, `tcx ingress`, `tc egress`.
    pub place: &'static str,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.place)?;
        if let Some(id) = self.id {
            write!(f, " (id {id}")?;
            if let Some(name) = &self.name {
                write!(f, ", name {name}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// The XDP program of somebody else's on an interface.
///
/// # Errors
///
/// When netlink does not answer, or the pins cannot be read.
pub async fn xdp(interface: &Interface, pins: &PinDir) -> anyhow::Result<Option<Other>> {
    Ok(xdp::foreign(interface, pins).await?.map(|id| Other {
        id: Some(id),
        name: xdp::program_name(id),
        place: "XDP",
    }))
}

/// What others have at the TC hooks of an interface: tcx programs, and filters of the clsact qdisc.
///
/// # Errors
///
/// When netlink does not answer, or the kernel refuses to tell of tcx.
pub async fn tc(interface: &Interface, pins: &PinDir) -> anyhow::Result<Vec<Other>> {
    let own: Vec<PathBuf> = pins::list(&pins.interface(interface.index, &interface.name))?;
    let mut others = Vec::new();
    if has_tcx().unwrap_or(false) {
        let ids: Vec<u32> = own
            .iter()
            .filter_map(|pin| xdp::pinned_program(pin))
            .collect();
        for (hook, place) in [
            (TcAttachType::Ingress, "tcx ingress"),
            (TcAttachType::Egress, "tcx egress"),
        ] {
            let (_, programs) = SchedClassifier::query_tcx(&interface.name, hook)
                .context("cannot ask for the programs at TC")?;
            let foreign = programs.iter().filter(|it| !ids.contains(&it.id()));
            others.extend(foreign.map(|program| Other {
                id: Some(program.id()),
                name: program.name_as_str().map(str::to_owned),
                place,
            }));
        }
    }
    let own_filters = own.iter().filter_map(|pin| pin.file_name()?.to_str());
    // A filter of the clsact qdisc is pinned by its place, not as a link.
    if !own_filters.into_iter().any(|name| name.starts_with("tc-")) {
        others.extend(filters(interface.index).await?);
    }
    Ok(others)
}

/// Whether the kernel has tcx: asks which programs the loopback has there.
///
/// # Errors
///
/// When it may not be asked.
pub fn has_tcx() -> anyhow::Result<bool> {
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
        Ok(_) => Ok(true),
        Err(error) if super::tc::lacks_tcx(&error) => Ok(false),
        Err(error) => Err(error).context("cannot ask for the programs at TC"),
    }
}

async fn filters(index: u32) -> anyhow::Result<Vec<Other>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open netlink")?;
    let connection = tokio::spawn(connection);
    let index = i32::try_from(index)?;
    let filters = |place| {
        let asked = handle.traffic_filter(index).get();
        match place {
            "tc ingress" => asked.ingress().execute(),
            _ => asked.egress().execute(),
        }
    };
    let mut others = Vec::new();
    for place in ["tc ingress", "tc egress"] {
        // Without the qdisc there is nothing to list, and some kernels say so by an error.
        let found: Vec<_> = filters(place).try_collect().await.unwrap_or_default();
        // One entry is the chain's own, without a handle.
        let found = found.iter().filter(|it| u32::from(it.header.handle) != 0);
        others.extend(found.map(|_| Other {
            id: None,
            name: None,
            place,
        }));
    }
    connection.abort();
    Ok(others)
}

/// Whether ftpfw filters this interface already.
///
/// # Errors
///
/// When the pins cannot be read.
pub fn is_protected(interface: &Interface, pins: &PinDir) -> anyhow::Result<bool> {
    let links = pins::list(&pins.interface(interface.index, &interface.name))?;
    let mut names = links.iter().filter_map(|pin| pin.file_name()?.to_str());
    Ok(names.any(|name| filter_of(name).is_some()))
}
