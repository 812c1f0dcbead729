//! Debian's Pure-FTPd.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::{Options, Place};
use crate::programs;
use crate::tls::Tls;

pub fn command(place: &Place<'_>, options: &Options) -> Result<Command> {
    let program = programs::find("pure-ftpd")?;
    let users = users(place)?;
    let mut command = programs::command(&program);
    // -A: locked into the home; -E: nobody without a password; -H: no names of addresses.
    command.args(["-A", "-E", "-H", "-d", "-u", "1"]);
    command.arg("-l").arg(format!("puredb:{}", users.display()));
    command.arg("-g").arg(place.directory.join("pid"));
    let (address, port) = (place.address, options.port);
    command.args(["-S", &format!("{address},{port}")]);
    command.arg(match address {
        IpAddr::V4(_) => "-4",
        IpAddr::V6(_) => "-6",
    });
    let (low, high) = (options.passive_ports.start(), options.passive_ports.end());
    command.args(["-p", &format!("{low}:{high}")]);
    if options.tls == Tls::Explicit {
        command.args(["-Y", "1", "-2"]).arg(place.certificate()?);
    }
    Ok(command)
}

/// Its database of users, made by its own tool from a passwd file.
fn users(place: &Place<'_>) -> Result<PathBuf> {
    let database = place.directory.join("users.pdb");
    let mut tool = programs::command(&programs::find_beside("pure-ftpd", "pure-pw")?);
    // Quotas and ratios, all empty. With fewer fields it divides by zero.
    let passwd = place.passwd("/./::::::::::::")?;
    tool.arg("mkdb").arg(&database).arg("-f").arg(passwd);
    let output = tool.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{tool:?}: {}", said.trim());
    Ok(database)
}
