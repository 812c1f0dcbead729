//! What the kernel says about the TCP sockets of a namespace.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};

/// `TCP_LISTEN` of include/net/tcp_states.h, as printed.
const LISTEN: &str = "0A";

/// The ports that something listens on, of either family, in the network namespace of a process.
///
/// # Errors
/// When the process is gone.
pub fn listening(pid: u32) -> Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/{pid}/net/{table}");
        // A kernel without IPv6 has no tcp6; a process that is gone has neither.
        match fs::read_to_string(&path) {
            Ok(text) => ports.extend(text.lines().filter_map(listener)),
            Err(_) if table == "tcp6" => {}
            Err(error) => return Err(error).with_context(|| format!("read {path}")),
        }
    }
    Ok(ports)
}

/// Whether something listens on exactly that address, in the network namespace of a process.
///
/// # Errors
/// When the process is gone.
pub fn listens_at(pid: u32, address: SocketAddr) -> Result<bool> {
    // A socket of IPv6 (ProFTPD's) has an IPv4 address in its mapped form.
    let ip = match address.ip() {
        IpAddr::V4(ip) => vec![words(&ip.octets()), words(&ip.to_ipv6_mapped().octets())],
        IpAddr::V6(ip) => vec![words(&ip.octets())],
    };
    let wanted: Vec<String> = ip
        .iter()
        .map(|ip| format!("{ip}:{:04X}", address.port()))
        .collect();
    let mut found = false;
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/{pid}/net/{table}");
        let text = match fs::read_to_string(&path) {
            Err(_) if table == "tcp6" => continue,
            text => text.with_context(|| format!("read {path}"))?,
        };
        found |= text.lines().any(|line| {
            let local = line.split_whitespace().nth(1).unwrap_or_default();
            listener(line).is_some() && wanted.iter().any(|wanted| wanted == local)
        });
    }
    Ok(found)
}

/// An address as /proc/net/tcp prints it: words of the machine's byte order.
fn words(octets: &[u8]) -> String {
    octets
        .chunks_exact(4)
        .map(|word| {
            format!(
                "{:08X}",
                u32::from_ne_bytes([word[0], word[1], word[2], word[3]])
            )
        })
        .collect()
}

/// The local port of a line of /proc/net/tcp, if it is a listener's.
fn listener(line: &str) -> Option<u16> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (_address, port) = local.rsplit_once(':')?;
    if state == LISTEN {
        u16::from_str_radix(port, 16).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_seen_and_its_end_too() -> Result<()> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let (address, port) = (socket.local_addr()?, socket.local_addr()?.port());
        assert!(listening(std::process::id())?.contains(&port));
        assert!(listens_at(std::process::id(), address)?);
        let other = SocketAddr::new("127.0.0.2".parse()?, port);
        assert!(!listens_at(std::process::id(), other)?);
        drop(socket);
        // A process that another test starts holds it until it runs its program.
        crate::wait::until("the listener to be gone", || {
            let listening = listening(std::process::id())?;
            Ok((!listening.contains(&port)).then_some(()))
        })
    }
}
