//! Who listens on ports that are about to be closed.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use ftpfw_common::abi::policy::port;
use procfs::{
    net::{TcpState, UdpState},
    process::{FDTarget, all_processes},
};

/// A socket that nobody will reach from outside any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// What it is bound to.
    pub address: SocketAddr,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// Name and number of a process that has it open, where one can be seen.
    pub process: Option<(String, i32)>,
}

impl fmt::Display for CutOff {
    /// The whole sentence, with what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((name, pid)) => write!(f, "{name} (pid {pid})")?,
            None => f.write_str("an unknown process")?,
        }
        let (address, transport) = (self.address, self.transport);
        let port = address.port();
        write!(
            f,
            " on {address}/{transport} will be unreachable from outside; \
             `--open-port {port}/{transport}` keeps it open"
        )
    }
}

/// The sockets of this network namespace that `policy` (by port, see
/// [`crate::config::PortPolicy::table`]) closes: listening on TCP, or bound to a fixed UDP port.
/// Those bound to a loopback address are out of the filter's reach. Nothing where /proc cannot be
/// read.
#[must_use]
pub fn cut_off(policy: &[u32]) -> Vec<CutOff> {
    let closed = |address: &SocketAddr, protected: u32, open: u32| {
        let bits = policy
            .get(usize::from(address.port()))
            .copied()
            .unwrap_or(0);
        bits & protected != 0 && bits & open == 0 && !address.ip().to_canonical().is_loopback()
    };
    let tcp = [procfs::net::tcp(), procfs::net::tcp6()]
        .into_iter()
        .flatten()
        .flatten();
    let tcp = tcp
        .filter(|socket| socket.state == TcpState::Listen)
        .filter(|socket| closed(&socket.local_address, port::PROTECTED_TCP, port::OPEN_TCP))
        .map(|socket| ("tcp", socket.local_address, socket.inode));
    let udp = [procfs::net::udp(), procfs::net::udp6()]
        .into_iter()
        .flatten()
        .flatten();
    let udp = udp
        .filter(|socket| socket.state == UdpState::Close)
        .filter(|socket| closed(&socket.local_address, port::PROTECTED_UDP, port::OPEN_UDP))
        .map(|socket| ("udp", socket.local_address, socket.inode));
    let found: Vec<_> = tcp.chain(udp).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let owners = owners();
    let mut cut_off: Vec<_> = found
        .into_iter()
        .map(|(transport, address, inode)| CutOff {
            address,
            transport,
            process: owners.get(&inode).cloned(),
        })
        .collect();
    cut_off.sort_by_key(|socket| (socket.transport, socket.address.port(), socket.address));
    cut_off
}

/// Who listens on these TCP ports in this network namespace, by port: address, and process where one can
/// be seen.
#[must_use]
pub fn on_ports(ports: &[u16]) -> Vec<(SocketAddr, Option<(String, i32)>)> {
    let owners = owners();
    let mut found: Vec<_> = [procfs::net::tcp(), procfs::net::tcp6()]
        .into_iter()
        .flatten()
        .flatten()
        .filter(|socket| socket.state == TcpState::Listen)
        .filter(|socket| ports.contains(&socket.local_address.port()))
        .map(|socket| (socket.local_address, owners.get(&socket.inode).cloned()))
        .collect();
    found.sort_by_key(|(address, _)| (address.port(), *address));
    found
}

/// Whether something in this network namespace listens on a TCP port of that address. Where it does
/// not, who answers is behind this host: a container.
#[must_use]
pub fn is_local(server: IpAddr, port: u16) -> bool {
    let takes = |address: SocketAddr| {
        let (ip, server) = (address.ip(), server.to_canonical());
        // A socket of IPv6 may take IPv4 too, one of IPv4 never IPv6.
        let any = ip.is_unspecified() && (ip.is_ipv6() || server.is_ipv4());
        address.port() == port && (ip.to_canonical() == server || any)
    };
    [procfs::net::tcp(), procfs::net::tcp6()]
        .into_iter()
        .flatten()
        .flatten()
        .any(|socket| socket.state == TcpState::Listen && takes(socket.local_address))
}

/// A process for each socket, by inode; the one that had it first, where several share it.
fn owners() -> HashMap<u64, (String, i32)> {
    let mut owners = HashMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let (Ok(descriptors), Ok(stat)) = (process.fd(), process.stat()) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            if let FDTarget::Socket(inode) = descriptor.target {
                owners
                    .entry(inode)
                    .or_insert_with(|| (stat.comm.clone(), process.pid));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::config::PortPolicy;

    #[test]
    fn finds_this_process_by_what_it_listens_on() {
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        let own = Some(std::process::id()).map(|pid| i32::try_from(pid).unwrap());
        let found = cut_off(&PortPolicy::default().table());
        for (transport, address) in [
            ("tcp", tcp.local_addr().unwrap()),
            ("udp", udp.local_addr().unwrap()),
        ] {
            let socket = found
                .iter()
                .find(|socket| socket.transport == transport && socket.address == address)
                .unwrap_or_else(|| panic!("{transport} {address} is not in {found:?}"));
            assert_eq!(socket.process.as_ref().map(|(_, pid)| *pid), own);
        }
    }

    #[test]
    fn loopback_and_open_ports_are_left_out() {
        let loopback = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let open = listener.local_addr().unwrap();
        let policy = PortPolicy {
            open: vec![format!("{}/tcp", open.port()).parse().unwrap()],
            ..PortPolicy::default()
        };
        let found = cut_off(&policy.table());
        assert!(
            !found
                .iter()
                .any(|socket| socket.address == loopback || socket.address == open)
        );
    }
}
