//! pyftpdlib, by a small program of ours.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Options, Place};
use crate::programs;
use crate::tls::Tls;

pub fn command(place: &Place<'_>, options: &Options) -> Result<Command> {
    let target = programs::target_directory().context("there is a target directory")?;
    let packages = target.join("tools/pyftpdlib");
    ensure!(
        packages.join("pyftpdlib").is_dir(),
        "pyftpdlib is not in {}: run `cargo xtask setup`",
        packages.display()
    );
    let mut command = Command::new(programs::find("python3")?);
    command
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    // It says on every start that the modules it is built on are going away.
    command.args([
        "-W",
        "ignore",
        "-c",
        include_str!("../../servers/pyftpdlib_server.py"),
    ]);
    command.args([place.address.to_string(), options.port.to_string()]);
    command.arg(place.root);
    let (low, high) = (options.passive_ports.start(), options.passive_ports.end());
    command.args([low.to_string(), high.to_string()]);
    if options.tls != Tls::Off {
        let kind = if options.tls == Tls::Explicit {
            "explicit"
        } else {
            "implicit"
        };
        command.arg(kind).arg(place.certificate()?);
    }
    Ok(command)
}
