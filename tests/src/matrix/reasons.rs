//! What is left out of the matrix, and why.

use super::Cell;
use crate::client::{Deed, Mode, Tool};
use crate::lab::Family;
use crate::server::Daemon;
use crate::tls::{Protection, Security, Tls};

impl Cell {
    /// Why this cell is empty without any firewall; `None` when it works.
    #[must_use]
    pub fn left_out(self, daemon: Daemon) -> Option<&'static str> {
        let Security {
            tls,
            protection,
            ccc,
        } = self.security;
        if let Some(why) = self.tool_cannot() {
            return Some(why);
        }
        if !daemon.can(tls) {
            return Some("the server is built without this kind of TLS");
        }
        if ccc && !matches!(daemon, Daemon::Proftpd | Daemon::PureFtpd) {
            return Some("the server has no CCC");
        }
        if ccc && self.tool == Tool::Lftp {
            return Some("lftp 4.9.2 often closes after CCC, by the timing of TLS's last record");
        }
        let private = tls != Tls::Off && protection == Protection::Private;
        if private && self.tool == Tool::Curl && !self.mode.is_passive() {
            return Some("curl 7.88 waits in vain after it has accepted an encrypted connection");
        }
        None
    }

    /// What no server would change.
    pub(super) fn tool_cannot(self) -> Option<&'static str> {
        let extended = matches!(self.mode, Mode::Epsv | Mode::Eprt);
        match (self.tool, self.family) {
            // Its ftpclass.cc.
            (Tool::Lftp, Family::V4) if self.mode == Mode::Eprt => {
                Some("lftp says EPRT only where PORT has no room for the address")
            }
            // Its ftp.c, ftp_do_pasv and ftp_do_port.
            (Tool::Wget, Family::V4) if extended => Some("wget says EPSV and EPRT over IPv6 only"),
            (Tool::Tnftp, _) if self.security.tls != Tls::Off => Some("tnftp has no TLS for FTP"),
            _ => None,
        }
    }

    /// Why the client of this cell has no such action; `None` when it has.
    #[must_use]
    pub fn has_no(self, deed: Deed) -> Option<&'static str> {
        match (self.tool, deed) {
            (Tool::Wget, Deed::Upload) => Some("wget only downloads"),
            (Tool::Wget, Deed::Abort) => Some("wget never says ABOR"),
            (Tool::Ftplib | Tool::Tnftp | Tool::Wget, Deed::Segments) => {
                Some("the client has one transfer at a time")
            }
            _ => None,
        }
    }

    /// Why it works at one time and not at another, without any firewall; `None` when it does not.
    #[must_use]
    pub fn is_unsteady(self, daemon: Daemon, deed: Deed) -> Option<&'static str> {
        // curl says ABOR, too, when it has its part of a file.
        let curl_aborts = (self.tool, deed) == (Tool::Curl, Deed::Segments);
        match daemon {
            Daemon::Embedded if curl_aborts || deed == Deed::Abort => {
                Some("libunftp answers ABOR late, out of order or not at all, now and then")
            }
            // In 4 of 18 tries without a firewall: "server bug: 426 reply missed", and lftp logs in once more.
            Daemon::PureFtpd
                if (self.tool, deed) == (Tool::Lftp, Deed::Abort)
                    && self.security.tls != Tls::Off =>
            {
                Some("lftp and Pure-FTPd lose each other after ABOR under TLS, now and then")
            }
            Daemon::Pyftpdlib if (self.tool, deed) == (Tool::Lftp, Deed::Abort) => {
                Some("lftp and pyftpdlib lose each other after ABOR, now and then")
            }
            _ => None,
        }
    }
}
