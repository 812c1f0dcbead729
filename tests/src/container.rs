//! A container behind the server, as Docker runs one: on a bridge of the server's, masqueraded when it
//! goes out, reached by ports that are published.
//!
//! ```text
//! container eth0 ── docker0 server eth0 ── switch of the laboratory
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};

use crate::lab::{Host, Lab};
use crate::netns::Netns;
use crate::programs;

/// A container; it goes with its namespace.
#[derive(Debug)]
pub struct Container {
    /// Its end of the cable to the server's bridge.
    pub host: Host,
}

impl Container {
    /// Starts one behind the server of `lab`. `published`: ports as nftables writes a set, e.g.
    /// `21, 45000-45009`; a connection to such a port of the server's goes to the same one of the
    /// container's.
    ///
    /// # Errors
    /// Without root, without `ip` or `nft`, or when the kernel cannot translate addresses.
    pub fn behind(lab: &Lab, published: &str) -> Result<Self> {
        let [high, low] = lab.number.to_be_bytes();
        let v4 = |last| Ipv4Addr::new(10, 128 + high, low, last);
        let v6 = |last| Ipv6Addr::new(0xfd78, high.into(), low.into(), 0, 0, 0, 0, last);
        let mac = [0x02, 0x78, high, low, 0, 2];
        let host = Host {
            netns: Netns::new(&format!("{}-container", lab.number))?,
            v4: v4(2),
            v6: v6(2),
            mac,
        };
        let (server, container) = (&lab.server.netns, &host.netns);
        // As in `lab`: addresses are usable at once, and transfers do not stall.
        container.sysctl("ipv6/conf/default/accept_dad", "0")?;
        container.sysctl("ipv4/tcp_congestion_control", "reno")?;
        server.sysctl("ipv4/ip_forward", "1")?;
        server.sysctl("ipv6/conf/all/forwarding", "1")?;
        server.ip(&format!(
            "link add docker0 type bridge stp_state 0 forward_delay 0\n\
             addr add {}/24 dev docker0\n\
             addr add {}/64 dev docker0 nodad\n\
             link set docker0 up\n\
             link add veth0 type veth peer name eth0 address {} netns {}\n\
             link set veth0 master docker0\n\
             link set veth0 up",
            v4(1),
            v6(1),
            mac.map(|byte| format!("{byte:02x}")).join(":"),
            container.name()
        ))?;
        container.ip(&format!(
            "addr add {}/24 dev eth0\n\
             addr add {}/64 dev eth0 nodad\n\
             link set eth0 up\n\
             route add default via {}\n\
             route add default via {}",
            host.v4,
            host.v6,
            v4(1),
            v6(1)
        ))?;
        container.wait_for_address(host.v6.into())?;
        server.wait_for_address(v6(1).into())?;
        translate(lab, &host, published)?;
        Ok(Self { host })
    }
}

/// Masquerades the container and publishes its ports.
fn translate(lab: &Lab, container: &Host, published: &str) -> Result<()> {
    let rules = format!(
        "table inet docker {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                ip daddr {} tcp dport {{ {published} }} dnat ip to {}
                ip6 daddr {} tcp dport {{ {published} }} dnat ip6 to {}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                ip saddr {} oifname eth0 masquerade
                ip6 saddr {} oifname eth0 masquerade
            }}
        }}",
        lab.server.v4, container.v4, lab.server.v6, container.v6, container.v4, container.v6,
    );
    let mut command = lab.server.netns.command(programs::find("nft")?);
    let output = command.arg(rules).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::control::{accept, dial};
    use crate::lab::Family;

    #[test]
    fn addresses_are_translated_in_both_directions() -> Result<()> {
        let lab = Lab::new()?;
        let container = Container::behind(&lab, "8080, 9000-9001")?.host;
        for family in [Family::V4, Family::V6] {
            let (inside, server) = (container.address(family), lab.server.address(family));
            for port in [8080, 9001] {
                let listener = container
                    .netns
                    .run(|| TcpListener::bind((inside, port)))??;
                let client = dial(&lab.client.netns, SocketAddr::new(server, port))?;
                assert_eq!(accept(&listener)?.peer_addr()?, client.local_addr()?);
            }
            let outside = lab.client.address(family);
            let listener = lab
                .client
                .netns
                .run(|| TcpListener::bind((outside, 8080)))??;
            let _ours = dial(&container.netns, SocketAddr::new(outside, 8080))?;
            assert_eq!(accept(&listener)?.peer_addr()?.ip(), server);
        }
        Ok(())
    }
}
