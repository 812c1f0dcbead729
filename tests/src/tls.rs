//! Certificates of the laboratory, and how a connection becomes secret.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use rustls::pki_types::CertificateDer;

/// Whether and how a control connection is encrypted (RFC 4217).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Not at all.
    Off,
    /// From `AUTH TLS` on.
    Explicit,
    /// From the first byte.
    Implicit,
}

impl Tls {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Off, Self::Explicit, Self::Implicit];

    /// A word for messages and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        }
    }

    /// The control port of such connections.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Off | Self::Explicit => 21,
            Self::Implicit => 990,
        }
    }
}

/// Whether the data connection is encrypted too (RFC 2228, `PROT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// `PROT P`.
    Private,
    /// `PROT C`.
    Clear,
}

impl Protection {
    /// The command that asks for it.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Private => "PROT P",
            Self::Clear => "PROT C",
        }
    }
}

/// What a client does about secrecy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Security {
    /// Of the control connection.
    pub tls: Tls,
    /// Of the data connection.
    pub protection: Protection,
    /// `CCC` after the login: the control connection is plain text again (RFC 4217 §6).
    pub ccc: bool,
}

impl Security {
    /// Plain FTP.
    pub const NONE: Self = Self::new(Tls::Off, Protection::Clear);
    /// What clients do by default.
    pub const EXPLICIT: Self = Self::new(Tls::Explicit, Protection::Private);
    /// What clients do by default with `ftps://`.
    pub const IMPLICIT: Self = Self::new(Tls::Implicit, Protection::Private);

    /// What clients do by default with that kind of TLS.
    #[must_use]
    pub const fn of(tls: Tls) -> Self {
        match tls {
            Tls::Off => Self::NONE,
            Tls::Explicit => Self::EXPLICIT,
            Tls::Implicit => Self::IMPLICIT,
        }
    }

    /// Without `CCC`.
    #[must_use]
    pub const fn new(tls: Tls, protection: Protection) -> Self {
        Self {
            tls,
            protection,
            ccc: false,
        }
    }
}

/// Whom the certificate is of.
pub const NAME: &str = "ftp.example.net";

/// A certificate that nobody has signed, made once for each process.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// The certificate for a client that is to trust it.
    pub der: CertificateDer<'static>,
}

impl Certificate {
    /// The one of this process.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn get() -> Result<&'static Self> {
        static MADE: OnceLock<Result<Certificate, rcgen::Error>> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
            Ok(Self {
                certificate: made.cert.pem(),
                key: made.signing_key.serialize_pem(),
                der: made.cert.der().clone(),
            })
        });
        let made = made.as_ref();
        made.map_err(|error| anyhow!("make a certificate: {error}"))
    }
}
