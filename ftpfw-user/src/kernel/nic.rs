//! What netlink and sysfs say of an interface.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use futures_util::TryStreamExt as _;
use nix::net::if_::if_indextoname;
use rtnetlink::{
    LinkGetRequest,
    packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
};

use crate::config::Interface;

/// Drivers of paravirtual NICs that hand on segments which another guest's stack, or the host's,
/// left the checksum of to its NIC.
const PARAVIRTUAL: [&str; 4] = ["virtio_net", "vif", "xen_netfront", "hv_netvsc"];

/// The name of an interface; `None` if it is gone. One that is being deleted has none, or an empty one.
pub(crate) fn name_of(index: u32) -> Option<String> {
    let name = if_indextoname(index).ok()?.to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// An interface as netlink has it; `None` if it is gone.
async fn link(index: u32) -> anyhow::Result<Option<LinkMessage>> {
    ask(async |request| request.match_index(index).execute().try_next().await).await
}

/// All interfaces of this network namespace.
///
/// # Errors
///
/// When netlink does not answer.
pub(super) async fn links() -> anyhow::Result<Vec<LinkMessage>> {
    ask(async |request| request.execute().try_collect().await).await
}

async fn ask<T>(
    question: impl AsyncFnOnce(LinkGetRequest) -> Result<T, rtnetlink::Error>,
) -> anyhow::Result<T> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open netlink")?;
    let connection = tokio::spawn(connection);
    let answer = question(handle.link().get()).await;
    connection.abort();
    answer.context("cannot ask netlink for interfaces")
}

/// The attributes of an interface; none if it is gone.
pub(super) async fn attributes(index: u32) -> anyhow::Result<Vec<LinkAttribute>> {
    Ok(link(index)
        .await?
        .map(|link| link.attributes)
        .unwrap_or_default())
}

/// Refuses an interface whose packets have no Ethernet header (a tunnel, PPP): the programs would
/// take them for something that is not IP, and let everything through.
///
/// # Errors
///
/// A sentence that names the interface.
pub(crate) async fn refuse_no_ethernet(interface: &Interface) -> anyhow::Result<()> {
    let layer = link(interface.index)
        .await?
        .map(|link| link.header.link_layer_type);
    match layer {
        // The loopback's packets have one too.
        Some(LinkLayerType::Ether | LinkLayerType::Loopback) | None => Ok(()),
        Some(other) => bail!(
            "{} is no Ethernet interface but {other:?}: ftpfw reads Ethernet frames only, also on \
             the interface that its packets come in by; filter what comes out of a tunnel with nftables",
            interface.name
        ),
    }
}

/// What kind of virtual device an interface is; `None` for hardware, and for what a driver of a
/// hypervisor's makes.
///
/// # Errors
///
/// When netlink does not answer.
pub(super) async fn kind(interface: &Interface) -> anyhow::Result<Option<InfoKind>> {
    let attributes = attributes(interface.index).await?;
    Ok(attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.into_iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind),
                _ => None,
            }),
            _ => None,
        }))
}

/// Whether one of the interfaces may receive segments whose checksum nobody has computed
/// (`CHECKSUM_PARTIAL`, `include/linux/skbuff.h`): virtual devices and paravirtual NICs, whose sender
/// is a stack on the same machine.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn partial_checksums(interfaces: &[Interface]) -> anyhow::Result<bool> {
    for interface in interfaces {
        if kind(interface).await?.is_some() || is_paravirtual(&interface.name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What native XDP costs on this interface, if it costs something that mode `tc` does not.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn cost_of_native(interface: &Interface) -> anyhow::Result<Option<&'static str>> {
    Ok(match kind(interface).await? {
        Some(InfoKind::Veth) => Some(
            "native XDP on a veth stops the super-packets of whoever sends to it, which slows bulk \
             uploads down several times over; `--mode tc` does not, and takes longer for a packet \
             that is dropped",
        ),
        _ => None,
    })
}

/// Bytes of payload in a frame at most; `None` if the interface is gone.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn mtu(interface: &Interface) -> anyhow::Result<Option<u32>> {
    let attributes = attributes(interface.index).await?;
    Ok(attributes.into_iter().find_map(|it| match it {
        LinkAttribute::Mtu(mtu) => Some(mtu),
        _ => None,
    }))
}

/// What kind of virtual device an interface is, or the driver of hardware.
///
/// # Errors
///
/// When netlink does not answer.
pub async fn driver(interface: &Interface) -> anyhow::Result<Option<String>> {
    Ok(match kind(interface).await? {
        Some(kind) => Some(kind.to_string()),
        None => driver_in_sysfs(&interface.name),
    })
}

fn is_paravirtual(name: &str) -> bool {
    driver_in_sysfs(name).is_some_and(|driver| PARAVIRTUAL.contains(&driver.as_str()))
}

fn driver_in_sysfs(name: &str) -> Option<String> {
    let driver = Path::new("/sys/class/net").join(name).join("device/driver");
    let path = fs::read_link(driver).ok()?;
    Some(path.file_name()?.to_str()?.to_owned())
}
