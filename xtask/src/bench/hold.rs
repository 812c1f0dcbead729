//! More sockets than one process may have: others hold them.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use ftpfw_tests::netns::Netns;
use ftpfw_tests::nftables;
use rustix::io::{FdFlags, fcntl_setfd};

/// Sockets that are held by one process, and need room in this one until then.
pub const BATCH: usize = 5_000;

/// Clients that hang up are not heard in this namespace's networks: their connections stay.
const SILENCE: &str = "\
table inet silence {
    chain output {
        type filter hook output priority filter; policy accept;
        tcp flags & (fin | rst) != 0x0 drop
    }
}";

/// Processes that do nothing but hold sockets; they end with this.
#[derive(Debug, Default)]
pub struct Holders(Vec<Child>);

impl Holders {
    /// Has a new process hold these, and closes them here. Nothing else may be started meanwhile.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn hold(&mut self, sockets: Vec<TcpStream>) -> Result<()> {
        for socket in &sockets {
            fcntl_setfd(socket, FdFlags::empty()).context("let a socket be inherited")?;
        }
        let mut sleep = Command::new("sleep");
        sleep.arg("infinity").stdin(Stdio::null());
        self.0.push(sleep.spawn().context("run sleep")?);
        drop(sockets);
        Ok(())
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        for holder in &mut self.0 {
            // Ended already is as good.
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// Makes [`SILENCE`].
///
/// # Errors
/// When nftables refuses.
pub fn silence(clients: &Netns) -> Result<()> {
    nftables::load(clients, SILENCE)
}
