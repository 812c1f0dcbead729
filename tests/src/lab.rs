//! Server, client and stranger on one network, each in a namespace of its own.
//!
//! ```text
//!   server eth0 ──┐
//!   client eth0 ──┼── br0 (switch)
//! stranger eth0 ──┘
//! ```
//!
//! Their NICs are veths, or those that [`nics`] names: then a hub outside is between them, and the
//! switch is connected to nothing.

use std::fs::{self, File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::netns::Netns;
use crate::nics;

/// Which Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A namespace with one NIC, `eth0`, and an address of each family.
#[derive(Debug)]
pub struct Host {
    /// The namespace.
    pub netns: Netns,
    /// The IPv4 address of `eth0`, in a /24.
    pub v4: Ipv4Addr,
    /// The IPv6 address of `eth0`, in a /64.
    pub v6: Ipv6Addr,
    /// The hardware address of `eth0`.
    pub mac: [u8; 6],
}

impl Host {
    /// The address of that family.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// Three hosts on one switch. Addresses are unique among all laboratories on the machine, of other
/// processes too: what one of them leaks into another is seen.
#[derive(Debug)]
pub struct Lab {
    /// Where FTP daemon and ftpfw run.
    pub server: Host,
    /// Who may.
    pub client: Host,
    /// Who may not.
    pub stranger: Host,
    /// Where the bridge is; a packet capture here sees all.
    pub switch: Netns,
    /// The number that the addresses are made from; unique while the laboratory lives.
    pub number: u16,
    _claim: File,
}

impl Lab {
    /// Builds the three hosts and the switch; every address is usable at once.
    ///
    /// # Errors
    /// Without root, without `ip`, or when the kernel lacks veth or bridge.
    pub fn new() -> Result<Self> {
        let (number, claim) = claim_number()?;
        let switch = Netns::new(&format!("{number}-switch"))?;
        // The switch is no party: its ports need no addresses and send no router solicitations.
        switch.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        switch.ip("link add br0 type bridge stp_state 0 forward_delay 0\nlink set br0 up")?;
        Ok(Self {
            server: plug_in(&switch, number, "server", 1)?,
            client: plug_in(&switch, number, "client", 2)?,
            stranger: plug_in(&switch, number, "stranger", 3)?,
            switch,
            number,
            _claim: claim,
        })
    }
}

impl Lab {
    /// A namespace, on no switch, whose loopback has both the server's and the client's address.
    ///
    /// # Errors
    /// As [`Lab::new`].
    pub fn twin(&self, family: Family) -> Result<Netns> {
        let twin = Netns::new(&format!("{}-twin", self.number))?;
        for host in [&self.server, &self.client] {
            let address = host.address(family);
            let flag = if address.is_ipv6() { "nodad" } else { "" };
            twin.ip(&format!("addr add {address} dev lo {flag}"))?;
            twin.wait_for_address(address)?;
        }
        Ok(twin)
    }
}

fn plug_in(switch: &Netns, number: u16, role: &str, last: u8) -> Result<Host> {
    let [high, low] = number.to_be_bytes();
    let v4 = Ipv4Addr::new(10, 64 + high, low, last);
    let v6 = Ipv6Addr::new(0xfd77, high.into(), low.into(), 0, 0, 0, 0, last.into());

    let netns = Netns::new(&format!("{number}-{role}"))?;
    // Duplicate address detection would make the link-local address unusable for a second.
    netns.sysctl("ipv6/conf/default/accept_dad", "0")?;
    netns.sysctl("ipv6/conf/default/router_solicitations", "0")?;
    // BBR paces by round-trip times that mean nothing on a veth: transfers would stall.
    netns.sysctl("ipv4/tcp_congestion_control", "reno")?;
    let mac = match nics::move_into(&netns, last)? {
        Some(mac) => mac,
        None => {
            let mac = [0x02, 0x77, high, low, 0, last];
            veth(switch, &netns, role, mac)?;
            mac
        }
    };
    netns.ip(&format!(
        "addr add {v4}/24 dev eth0\n\
         addr add {v6}/64 dev eth0 nodad\n\
         link set eth0 up"
    ))?;
    netns.wait_for_address(v6.into())?;
    Ok(Host { netns, v4, v6, mac })
}

/// Connects a namespace to the switch; its end is `eth0`.
fn veth(switch: &Netns, netns: &Netns, role: &str, mac: [u8; 6]) -> Result<()> {
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    switch.ip(&format!(
        "link add {role} type veth peer name eth0 address {mac} netns {}\n\
         link set {role} master br0\n\
         link set {role} up",
        netns.name()
    ))
}

/// A number that no living laboratory has. The kernel gives the lock back when its holder dies.
fn claim_number() -> Result<(u16, File)> {
    let directory = Path::new("/run/ftpfw-labs");
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for number in 0..0x4000 {
        let path = directory.join(number.to_string());
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok((number, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
    bail!(
        "every laboratory number in {} is taken",
        directory.display()
    )
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn hosts_reach_each_other_over_both_families() -> Result<()> {
        let lab = Lab::new()?;
        for family in [Family::V4, Family::V6] {
            let address = lab.server.address(family);
            let listener = lab.server.netns.run(|| TcpListener::bind((address, 0)))??;
            let port = listener.local_addr()?.port();
            for host in [&lab.client, &lab.stranger] {
                let _stream = host.netns.run(|| TcpStream::connect((address, port)))??;
                assert_eq!(listener.accept()?.1.ip(), host.address(family));
            }
        }
        Ok(())
    }

    #[test]
    fn laboratories_side_by_side_share_no_address() -> Result<()> {
        let (one, other) = (Lab::new()?, Lab::new()?);
        assert_ne!(one.server.v4, other.server.v4);
        assert_ne!(one.server.v6, other.server.v6);
        Ok(())
    }
}
