//! `embedded-ftp-server` of this package.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Options, Place};
use crate::programs;

pub fn command(place: &Place<'_>, options: &Options) -> Result<Command> {
    let program = programs::find_built(
        "embedded-ftp-server",
        "FTPFW_EMBEDDED_SERVER",
        "cargo build --release -p ftpfw-tests --features embedded-server",
    )?;
    let mut command = Command::new(program);
    let listen = SocketAddr::from((place.address, options.port)).to_string();
    let (low, high) = (options.passive_ports.start(), options.passive_ports.end());
    command
        .args(["--listen", &listen, "--root"])
        .arg(place.root);
    command.args(["--passive-ports", &format!("{low}-{high}")]);
    Ok(command)
}
