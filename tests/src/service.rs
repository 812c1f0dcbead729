//! Services of the server's that have nothing to do with FTP.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command};

use anyhow::{Result, ensure};

use crate::lab::{Host, Lab};
use crate::{programs, wait};

/// Starts a process that listens on `port` and descends from nobody who speaks FTP: its parent, a
/// shell, is gone at once. It goes with the namespace.
///
/// # Errors
/// When it does not come to listen.
pub fn start(lab: &Lab, port: u16) -> Result<()> {
    listen(lab, port, "")
}

/// The same of a process that forks when it listens, and ends.
///
/// # Errors
/// As [`start`].
pub fn start_in_background(lab: &Lab, port: u16) -> Result<()> {
    listen(lab, port, "import os\nif os.fork(): os._exit(0)")
}

fn listen(lab: &Lab, port: u16, then: &str) -> Result<()> {
    let address = SocketAddr::new(lab.server.v4.into(), port);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#""$0" -c "$1" >/dev/null 2>&1 </dev/null &"#])
        .arg(programs::find("python3")?)
        .arg(script(address, then));
    let status = lab.server.netns.spawn(&mut shell)?.wait()?;
    ensure!(status.success(), "the shell: {status}");
    wait_for(&lab.server, address)
}

/// A service that is a child of this process, and ends when this is dropped.
#[derive(Debug)]
pub struct Stranger(Child);

impl Stranger {
    /// Starts it on a port of a host.
    ///
    /// # Errors
    /// When it does not come to listen.
    pub fn start(host: &Host, address: Ipv4Addr, port: u16) -> Result<Self> {
        let address = SocketAddr::new(address.into(), port);
        let mut python = Command::new(programs::find("python3")?);
        python.args(["-c", &script(address, "")]);
        let stranger = Self(host.netns.spawn(&mut python)?);
        wait_for(host, address)?;
        Ok(stranger)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.expect("it is a child of ours");
    }
}

/// What Python has to run. `then`: what follows when it listens.
fn script(address: SocketAddr, then: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "import socket; s = socket.create_server(('{ip}', {port}))\n{then}\nwhile True: s.accept()"
    )
}

fn wait_for(host: &Host, address: SocketAddr) -> Result<()> {
    host.netns.run(|| {
        wait::until("the service to listen", || {
            Ok(TcpStream::connect(address).ok().map(drop))
        })
    })?
}
