//! What the kernel says about the TCP sockets of a namespace.

use std::collections::BTreeSet;
use std::fs;

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
        let port = socket.local_addr()?.port();
        assert!(listening(std::process::id())?.contains(&port));
        drop(socket);
        assert!(!listening(std::process::id())?.contains(&port));
        Ok(())
    }
}
