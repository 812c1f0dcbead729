//! A connection that can go over from plain text to TLS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::tls::{Certificate, NAME};

/// A client's end of a connection.
#[derive(Debug)]
pub enum Wire {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes in TLS records.
    Secret(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// TLS with a server of this process, whose certificate is checked. The handshake is that of the
    /// first byte read or written: on a data connection the server begins it after its 150.
    ///
    /// # Errors
    /// When there is no certificate.
    pub fn secret(plain: TcpStream) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(Certificate::get()?.der.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Servers of several laboratories share the name.
        config.resumption = Resumption::disabled();
        let session = ClientConnection::new(Arc::new(config), NAME.try_into()?)?;
        Ok(Self::Secret(Box::new(StreamOwned::new(session, plain))))
    }

    /// What is below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secret(stream) => &stream.sock,
        }
    }

    /// What is below. TLS, if there is any, is closed from both ends, as CCC has it (RFC 4217 §12.3).
    ///
    /// # Errors
    /// When the other end says something else.
    pub fn into_plain(self) -> Result<TcpStream> {
        let mut stream = match self {
            Self::Plain(stream) => return Ok(stream),
            Self::Secret(stream) => stream,
        };
        stream.conn.send_close_notify();
        stream.flush()?;
        ensure!(
            stream.read(&mut [0])? == 0,
            "more came before the end of TLS"
        );
        Ok(stream.into_parts().1)
    }

    /// Reads to the end, which TLS has to announce.
    ///
    /// # Errors
    /// When the other end is silent, or just goes away.
    pub fn read_all(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)
            .context("read the data connection")?;
        Ok(bytes)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secret(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secret(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secret(stream) => stream.flush(),
        }
    }
}
