//! Programs that listen on the control port for a daemon, which they start when somebody connects.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Options, Place};
use crate::programs;

/// inetd, which starts `daemon` for each connection: a socket as its standard input. As with tcpd, there
/// is a wrapper between the two, which takes its time: who holds a new connection is not the daemon yet.
pub fn inetd(place: &Place<'_>, options: &Options, daemon: &Command) -> Result<Command> {
    let (protocol, host) = match place.address {
        IpAddr::V4(address) => ("tcp", address.to_string()),
        IpAddr::V6(address) => ("tcp6", format!("[{address}]")),
    };
    let program = daemon.get_program().to_str().context("a plain path")?;
    let arguments: Vec<&str> = daemon.get_args().filter_map(|word| word.to_str()).collect();
    let wrapper = place.directory.join("wrapper");
    programs::install_script(&format!("sleep 0.2\nexec {program} \"$@\""), &wrapper)?;
    let service = format!(
        "{host}:{port} stream {protocol} nowait root {wrapper} wrapper {arguments}\n",
        port = options.port,
        wrapper = wrapper.to_str().context("a plain path")?,
        arguments = arguments.join(" "),
    );
    let mut command = Command::new(programs::find("inetd")?);
    // It hands its environment on.
    command.envs(
        daemon
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    // -i: stays in the foreground; -R 0: takes any number of connections.
    command
        .args(["-i", "-R", "0"])
        .arg(place.write("inetd.conf", service)?);
    Ok(command)
}

/// systemd-socket-activate, which does by the command line what systemd does with a socket unit: it
/// starts `daemon` for each connection, or (not `accept`) becomes the daemon at the first one.
pub fn systemd(
    place: &Place<'_>,
    options: &Options,
    daemon: &Command,
    accept: bool,
) -> Result<Command> {
    let mut command = Command::new(programs::find("systemd-socket-activate")?);
    let listen = SocketAddr::from((place.address, options.port)).to_string();
    command.args(["--listen", &listen]);
    if accept {
        command.args(["--accept", "--inetd"]);
    }
    // It hands on what it is told to.
    for (name, value) in daemon.get_envs() {
        let (name, value) = (name.to_str(), value.and_then(|value| value.to_str()));
        let (name, value) = name.zip(value).context("a plain environment")?;
        command.arg(format!("--setenv={name}={value}"));
    }
    command.arg(daemon.get_program()).args(daemon.get_args());
    Ok(command)
}
