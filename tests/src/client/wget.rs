//! wget.

use anyhow::{Result, bail};

use super::{Action, Call, Prepared, command};
use crate::server::{PASSWORD, USER};
use crate::tls::{Protection, Tls};
use crate::wait::factor;

/// Where it keeps a listing as the server sent it.
const LISTING: &str = ".listing";

pub fn prepare(call: &Call<'_>) -> Result<Prepared> {
    let mut wget = command("wget")?;
    wget.current_dir(call.directory);
    wget.args([
        "--server-response",
        "--no-verbose",
        "--no-config",
        "--tries=1",
    ]);
    wget.arg(format!("--timeout={}", 10 * factor()));
    wget.args([format!("--user={USER}"), format!("--password={PASSWORD}")]);
    if !call.mode.is_passive() {
        wget.arg("--no-passive-ftp");
    }
    // Nobody has signed the certificate.
    wget.arg("--no-check-certificate");
    if call.security.tls == Tls::Implicit {
        wget.arg("--ftps-implicit");
    }
    if call.security.protection == Protection::Clear && call.security.tls != Tls::Off {
        wget.arg("--ftps-clear-data-connection");
    }
    let local = call.local();
    let (name, received) = match call.action {
        Action::List => {
            wget.arg("--no-remove-listing");
            ("", call.directory.join(LISTING))
        }
        Action::Download(name) => (name, local.clone()),
        Action::Resume(name, _) => {
            wget.arg("--continue");
            (name, local.clone())
        }
        Action::Upload(..) | Action::Segments(..) | Action::Abort(..) => {
            bail!("wget only downloads, one file at a time")
        }
    };
    wget.arg("--output-document").arg(&local);
    // Its word for TLS of either kind.
    let url = call.url(name);
    wget.arg(match call.security.tls {
        Tls::Explicit => url.replacen("ftp:", "ftps:", 1),
        Tls::Off | Tls::Implicit => url,
    });
    Ok(Prepared::new(wget, vec![received]))
}
