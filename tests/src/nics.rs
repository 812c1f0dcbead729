//! Real NICs for the hosts of a laboratory, where a machine has them: three on one hub.
//!
//! `FTPFW_NICS=MAC,MAC,MAC` names those of server, client and stranger by their hardware addresses. They
//! wait in the namespace of process 1, which is where the kernel puts them back when a laboratory goes.
//! Only one laboratory at a time can have them.

use std::env;
use std::fs;

use anyhow::{Context as _, Result};

use crate::netns::{self, Netns};
use crate::wait;

/// The variable with the hardware addresses.
pub const VARIABLE: &str = "FTPFW_NICS";

/// Moves the NIC of the host with that number, from 1, into its namespace and calls it `eth0`; its
/// hardware address. `None`: there are no NICs, so there shall be a veth.
///
/// # Errors
/// When it is not there, or does not come back from the laboratory before.
pub fn move_into(netns: &Netns, host: u8) -> Result<Option<[u8; 6]>> {
    let Ok(all) = env::var(VARIABLE) else {
        return Ok(None);
    };
    let text = all.split(',').nth(usize::from(host) - 1);
    let text = text.with_context(|| format!("{VARIABLE}={all} has no NIC {host}"))?;
    let mac =
        parse(text).with_context(|| format!("{VARIABLE}: `{text}` is no hardware address"))?;
    let name = wait::until(&format!("the NIC {text} to be free"), || Ok(find(text)))?;
    let mut command = std::process::Command::new("ip");
    command.args(["link", "set", &name, "down", "netns", netns.name()]);
    netns::run(command.args(["name", "eth0"]))?;
    Ok(Some(mac))
}

/// The interface with that hardware address, if it is here.
fn find(mac: &str) -> Option<String> {
    let interfaces = fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut with_it = interfaces.filter(|interface| {
        let address = fs::read_to_string(interface.path().join("address"));
        address.is_ok_and(|address| address.trim().eq_ignore_ascii_case(mac))
    });
    with_it.next()?.file_name().into_string().ok()
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).ok())
        .collect();
    octets?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_has_six_octets() {
        let right = Some([0x52, 0x54, 0, 0x77, 0, 1]);
        assert_eq!(parse("52:54:00:77:00:01"), right);
        for wrong in [
            "",
            "52:54:00:77:00",
            "52:54:00:77:00:01:02",
            "52:54:00:77:00:g1",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
