//! Debian's vsftpd.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{Options, Place};
use crate::lab::Family;
use crate::programs;
use crate::tls::Tls;

/// No TLS 1.3: the tickets that vsftpd sends on a data connection are never read by a client that
/// uploads, whose close is then a reset, and now and then the upload is lost.
const OPENSSL: &str = "openssl_conf = main\n[main]\nssl_conf = ssl\n[ssl]\n\
                       system_default = defaults\n[defaults]\nMaxProtocol = TLSv1.2\n";

pub fn command(place: &Place<'_>, options: &Options) -> Result<Command> {
    let mut command = programs::command(&programs::find("vsftpd")?);
    let address = place.address;
    let (listen, other, listen_address) = match options.family {
        Family::V4 if !options.dual_stack => ("listen", "listen_ipv6", "listen_address"),
        _ => ("listen_ipv6", "listen", "listen_address6"),
    };
    // Without an address it listens on all of them, of both families.
    let address = match options.dual_stack {
        true => String::new(),
        false => format!("{listen_address}={address}\n"),
    };
    let listen = format!(
        "{listen}=YES\n{other}=NO\n{address}listen_port={}\nbackground=NO\n",
        options.port
    );
    let config = listen + &common(place, options)? + &tls(place, options.tls)?;
    command.arg(place.write("vsftpd.conf", config)?);
    command.env("OPENSSL_CONF", place.write("openssl.cnf", OPENSSL)?);
    Ok(command)
}

/// For one connection, its standard input: started by a super-server.
pub fn command_for_one(place: &Place<'_>, options: &Options) -> Result<Command> {
    let config = "listen=NO\nlisten_ipv6=NO\n".to_owned()
        + &common(place, options)?
        + &tls(place, options.tls)?;
    let mut command = programs::command(&programs::find("vsftpd")?);
    command.arg(place.write("vsftpd.conf", config)?);
    command.env("OPENSSL_CONF", place.write("openssl.cnf", OPENSSL)?);
    Ok(command)
}

fn common(place: &Place<'_>, options: &Options) -> Result<String> {
    // Where its unprivileged half is locked up: must be empty and not writable.
    let empty = place.directory.join("empty");
    fs::create_dir(&empty)?;
    let announced = options
        .announced
        .map_or(String::new(), |address| format!("pasv_address={address}\n"));
    Ok(format!(
        "anonymous_enable=YES\nlocal_enable=NO\nftp_username=daemon\n\
         anon_root={root}\nwrite_enable=YES\nanon_upload_enable=YES\nanon_umask=022\n\
         secure_chroot_dir={empty}\n\
         connect_from_port_20={port_20}\npasv_min_port={low}\npasv_max_port={high}\n\
         {announced}xferlog_enable=YES\nlog_ftp_protocol=YES\nvsftpd_log_file={log}\n",
        root = place.root.display(),
        empty = empty.display(),
        port_20 = yes_no(options.from_port_20),
        low = options.passive_ports.start(),
        high = options.passive_ports.end(),
        log = place.directory.join("protocol.log").display(),
    ))
}

fn tls(place: &Place<'_>, tls: Tls) -> Result<String> {
    if tls == Tls::Off {
        return Ok(String::new());
    }
    let certificate = place.certificate()?;
    // Clients that open a new TLS session for the data connection (ftplib) are common.
    Ok(format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=NO\nforce_anon_data_ssl=NO\n\
         require_ssl_reuse=NO\nssl_ciphers=HIGH\nimplicit_ssl={implicit}\n\
         rsa_cert_file={certificate}\nrsa_private_key_file={certificate}\n",
        implicit = yes_no(tls == Tls::Implicit),
        certificate = certificate.display(),
    ))
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}
