//! What netlink and sysfs say of an interface.

use std::{fs, path::Path};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo};

use crate::config::Interface;

/// Drivers of paravirtual NICs that hand on segments which another guest's stack, or the host's,
/// left the checksum of to its NIC.
const PARAVIRTUAL: [&str; 4] = ["virtio_net", "vif", "xen_netfront", "hv_netvsc"];

/// The attributes of an interface; none if it is gone.
pub(super) async fn attributes(index: u32) -> anyhow::Result<Vec<LinkAttribute>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open netlink")?;
    let connection = tokio::spawn(connection);
    let link = handle
        .link()
        .get()
        .match_index(index)
        .execute()
        .try_next()
        .await;
    connection.abort();
    let link = link.context("cannot ask netlink for the interface")?;
    Ok(link.map(|link| link.attributes).unwrap_or_default())
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
        let attributes = attributes(interface.index).await?;
        let is_virtual = attributes.iter().any(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => {
                infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)))
            }
            _ => false,
        });
        if is_virtual || is_paravirtual(&interface.name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_paravirtual(name: &str) -> bool {
    let driver = Path::new("/sys/class/net").join(name).join("device/driver");
    fs::read_link(driver)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .is_some_and(|driver| PARAVIRTUAL.contains(&driver.as_str()))
}
