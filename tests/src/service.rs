//! Services of the server's that have nothing to do with FTP.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::lab::Lab;
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
    let program = programs::find("python3")?;
    let address = SocketAddr::new(lab.server.v4.into(), port);
    let script = format!(
        "import socket; s = socket.create_server(('{}', {port}))\n{then}\nwhile True: s.accept()",
        address.ip()
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#""$0" -c "$1" >/dev/null 2>&1 </dev/null &"#])
        .arg(program)
        .arg(script);
    let status = lab.server.netns.spawn(&mut shell)?.wait()?;
    ensure!(status.success(), "the shell: {status}");
    lab.server.netns.run(|| {
        wait::until("the service to listen", || {
            Ok(TcpStream::connect(address).ok().map(drop))
        })
    })?
}
