//! What `ftpfw list transfers` answers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A data connection that is established, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningRow {
    /// The FTP client.
    pub client: IpAddr,
    /// Its port.
    pub client_port: u16,
    /// The server's address.
    pub server: IpAddr,
    /// Its port.
    pub port: u16,
    /// `passive`, `active`, `opaque` or `manual`.
    pub mode: String,
    /// The session that negotiated it; `None` for a manual one.
    pub session: Option<u64>,
    /// Who is logged in; this and all up to `direction` where the agent saw it.
    pub user: Option<String>,
    /// `RETR`, `STOR`, `STOU`, `APPE`, `LIST`, `NLST` or `MLSD`.
    pub command: Option<String>,
    /// What it named, escaped.
    pub path: Option<String>,
    /// `upload` or `download`: of the command, or else whichever way more bytes went.
    pub direction: Option<String>,
    /// In that direction so far; `None` where no socket of this host tells.
    pub bytes: Option<u64>,
    /// How many there will be; `None` where the server has not said so.
    pub length: Option<u64>,
    /// Since the handshake.
    pub duration_ms: u64,
    /// `bytes` by `duration_ms`.
    pub bytes_per_second: Option<u64>,
}

impl RunningRow {
    /// `RETR a.iso`; its direction, where the command was not seen; `-` where that is not known either.
    #[must_use]
    pub fn what(&self) -> String {
        match (&self.command, &self.path) {
            (Some(command), Some(path)) => format!("{command} {path}"),
            (Some(command), None) => command.clone(),
            (None, _) => self.direction.clone().unwrap_or_else(|| "-".to_owned()),
        }
    }

    /// How much of it is done, in percent; `None` where that is not known.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        let (bytes, length) = (self.bytes?, self.length?);
        // A file without a byte is there as soon as it begins.
        let percent = u128::from(bytes) * 100;
        u64::try_from(percent.checked_div(length.into()).unwrap_or(100)).ok()
    }
}
