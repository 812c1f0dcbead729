//! Debian's ProFTPD.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Options, Place};
use crate::programs;
use crate::tls::Tls;

pub fn command(place: &Place<'_>, options: &Options) -> Result<Command> {
    let program = programs::find("proftpd")?;
    let usr = program.ancestors().nth(2).context("it is in usr/sbin")?;
    let config = format!(
        "ServerName tests\nServerType standalone\nDefaultAddress {address}\nPort {port}\n\
         UseIPv6 on\nSocketBindTight on\nUseReverseDNS off\nWtmpLog off\nTransferLog none\n\
         User daemon\nGroup daemon\nUmask 022\nDefaultRoot ~\nRequireValidShell off\n\
         AuthOrder mod_auth_file.c\nAuthUserFile {passwd}\nAllowOverwrite on\n\
         PassivePorts {low} {high}\nPidFile {directory}/pid\nScoreboardFile {directory}/scoreboard\n\
         DelayEngine off\nModulePath {usr}/lib/proftpd\n{tls}",
        address = place.address,
        port = options.port,
        passwd = place.passwd(":/bin/sh")?.display(),
        low = options.passive_ports.start(),
        high = options.passive_ports.end(),
        directory = place.directory.display(),
        usr = usr.display(),
        tls = tls(place, options.tls)?,
    );
    let mut command = programs::command(&program);
    command.args(["--nodaemon", "--config"]);
    command.arg(place.write("proftpd.conf", config)?);
    Ok(command)
}

fn tls(place: &Place<'_>, tls: Tls) -> Result<String> {
    if tls == Tls::Off {
        return Ok(String::new());
    }
    let certificate = place.certificate()?;
    // Clients that open a new TLS session for the data connection (ftplib) are common.
    let implicit = match tls {
        Tls::Implicit => " UseImplicitSSL",
        Tls::Explicit | Tls::Off => "",
    };
    Ok(format!(
        "LoadModule mod_tls.c\nTLSEngine on\nTLSRequired off\nTLSLog {log}\n\
         TLSECCertificateFile {certificate}\nTLSECCertificateKeyFile {certificate}\n\
         TLSOptions NoSessionReuseRequired{implicit}\n",
        log = place.directory.join("tls.log").display(),
        certificate = certificate.display(),
    ))
}
