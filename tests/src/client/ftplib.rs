//! Python's ftplib, by a small program of ours.

use anyhow::{Result, bail};

use super::{Action, Call, Prepared, command};
use crate::server::{PASSWORD, USER};
use crate::tls::{Protection, Tls};

pub fn prepare(call: &Call<'_>) -> Result<Prepared> {
    let mut python = command("python3")?;
    python.args(["-c", include_str!("../../clients/ftplib_client.py")]);
    python.args([call.server.0.to_string(), call.server.1.to_string()]);
    python.arg(call.mode.verb().to_lowercase());
    let remote = match call.action {
        Action::List => String::new(),
        Action::Download(name) | Action::Upload(name, _) | Action::Resume(name, _) => name.into(),
        Action::Abort(large, name) => format!("{large},{name}"),
        Action::Segments(..) => bail!("ftplib_client.py has one connection"),
    };
    let local = call.local();
    python
        .args([call.action.deed().name(), &remote])
        .arg(&local);
    python.args([USER, PASSWORD]);
    let security = call.security;
    if security.tls != Tls::Off {
        python.arg(match security.tls {
            Tls::Implicit => "implicit",
            Tls::Explicit | Tls::Off => "explicit",
        });
        python.arg(match security.protection {
            Protection::Private => "P",
            Protection::Clear => "C",
        });
        python.args(security.ccc.then_some("ccc"));
    }
    Ok(Prepared::new(python, vec![local]))
}
