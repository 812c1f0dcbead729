//! The data connection of a quirky server's session.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};

use crate::control::{prepare, read_all};
use crate::scripted::Scripted;
use crate::wait;

use super::server::content;

/// What the server lists: one file, as `ls -l` has it.
const LISTING: &[u8] = b"-rw-r--r-- 1 ftp ftp 20000 Jan 01 00:00 file\r\n";

/// How the next data connection comes about, and that connection.
#[derive(Debug)]
pub(super) struct Data<'a> {
    server: &'a Scripted<'a>,
    listener: Option<TcpListener>,
    /// Where a PORT or EPRT told the server to dial.
    named: Option<SocketAddr>,
    connection: Option<TcpStream>,
}

impl<'a> Data<'a> {
    pub(super) fn new(server: &'a Scripted<'a>) -> Self {
        Self {
            server,
            listener: None,
            named: None,
            connection: None,
        }
    }

    /// Listens; nothing that was agreed on before counts any more.
    pub(super) fn listen(&mut self, port: u16) -> Result<()> {
        self.name(None);
        self.listener = Some(self.server.listen(port)?);
        Ok(())
    }

    /// The client has named this address, or the server listens again.
    pub(super) fn name(&mut self, address: Option<SocketAddr>) {
        self.listener = None;
        self.connection = None;
        self.named = address;
    }

    /// Where the client is to be dialled.
    pub(super) fn named(&self) -> Option<SocketAddr> {
        self.named
    }

    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Accepts or dials. `false`: there is nothing to accept, nobody there to dial, or `control` ended
    /// before.
    pub(super) fn connect(&mut self, control: &TcpStream) -> Result<bool> {
        if self.connection.is_none() {
            self.connection = match (&self.listener, self.named) {
                (Some(listener), _) => accept(listener, control)?,
                (None, Some(address)) => dial(self.server, address)?,
                (None, None) => None,
            };
        }
        Ok(self.connection.is_some())
    }

    /// Sends the file, takes one to `stored`, or lists, as the command says.
    pub(super) fn transfer(&mut self, verb: &str, stored: &Mutex<Vec<u8>>) -> Result<()> {
        let mut connection = self.connection.take().context("no data connection")?;
        match verb {
            "RETR" => connection.write_all(&content())?,
            "LIST" | "NLST" | "MLSD" => connection.write_all(LISTING)?,
            "STOR" => *stored.lock().expect("nobody panicked") = read_all(&mut connection)?,
            _ => bail!("{verb} transfers nothing"),
        }
        self.listener = None;
        Ok(())
    }
}

/// Waits for the client as long as its control connection stands.
fn accept(listener: &TcpListener, control: &TcpStream) -> Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    control.set_nonblocking(true)?;
    let accepted = wait::until("the client to come", || {
        if let Ok((connection, _)) = listener.accept() {
            connection.set_nonblocking(false)?;
            prepare(&connection)?;
            return Ok(Some(Some(connection)));
        }
        let gone = !matches!(control.peek(&mut [0]), Err(_) | Ok(1..));
        Ok(gone.then_some(None))
    });
    control.set_nonblocking(false)?;
    accepted
}

fn dial(server: &Scripted<'_>, address: SocketAddr) -> Result<Option<TcpStream>> {
    let connection = server.dial_from_20(address)?;
    let refused = wait::until("the client to accept", || {
        if let Some(error) = connection.take_error()? {
            return Ok(Some(Some(error)));
        }
        Ok(connection.peer_addr().is_ok().then_some(None))
    })?;
    if refused.is_some() {
        return Ok(None);
    }
    connection.set_nonblocking(false)?;
    prepare(&connection)?;
    Ok(Some(connection))
}

/// The port in a PORT or EPRT; `None` for any other line. Their address is not looked at: the server
/// dials whoever talks to it.
pub(super) fn named_port(line: &str) -> Option<u16> {
    let (verb, argument) = line.trim_end().split_once(' ')?;
    match verb.to_ascii_uppercase().as_str() {
        "EPRT" => argument
            .split(argument.chars().next()?)
            .nth(3)?
            .parse()
            .ok(),
        "PORT" => {
            let mut numbers = argument.split(',').skip(4);
            let (high, low) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
            Some(u16::from_be_bytes([high, low]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_active_commands() {
        assert_eq!(named_port("PORT 10,0,0,9,195,80\r\n"), Some(50_000));
        assert_eq!(named_port("eprt |2|fd77::9|50000|\r\n"), Some(50_000));
        assert_eq!(named_port("PORT 10,0,0,9,195\r\n"), None);
        assert_eq!(named_port("EPRT\r\n"), None);
        assert_eq!(named_port("RETR 1,2,3,4,5,6\r\n"), None);
    }
}
