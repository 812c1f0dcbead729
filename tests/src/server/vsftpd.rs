//! Debian's vsftpd.

use std::fs;
use std::net::IpAddr;
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

/// inetd, and the configuration with which it starts vsftpd: a socket as its standard input.
pub fn command_of_inetd(place: &Place<'_>, options: &Options) -> Result<Command> {
    let vsftpd = programs::find("vsftpd")?;
    let config = "listen=NO\nlisten_ipv6=NO\n".to_owned()
        + &common(place, options)?
        + &tls(place, options.tls)?;
    let config = place.write("vsftpd.conf", config)?;
    let (protocol, host) = match place.address {
        IpAddr::V4(address) => ("tcp", address.to_string()),
        IpAddr::V6(address) => ("tcp6", format!("[{address}]")),
    };
    let service = format!(
        "{host}:{port} stream {protocol} nowait root {vsftpd} vsftpd {config}\n",
        port = options.port,
        vsftpd = vsftpd.display(),
        config = config.display(),
    );
    let inetd = programs::find("inetd")?;
    // vsftpd's libraries: inetd hands its environment on.
    let mut command = programs::command(&vsftpd);
    let libraries: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new(inetd);
    command.envs(libraries);
    command.env("OPENSSL_CONF", place.write("openssl.cnf", OPENSSL)?);
    // -i: stays in the foreground; -R 0: takes any number of connections.
    command
        .args(["-i", "-R", "0"])
        .arg(place.write("inetd.conf", service)?);
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
