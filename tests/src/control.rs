//! A control connection driven by hand, for tests that stop in the middle of a dialogue.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::client::Mode;
use crate::netns::Netns;
use crate::reply::Reply;
use crate::secret::Wire;
use crate::server::{PASSWORD, USER};
use crate::tls::{Security, Tls};
use crate::wait::patience;

/// A client's end of a control connection. Reading waits at most [`patience`].
#[derive(Debug)]
pub struct Control<'a> {
    netns: &'a Netns,
    stream: BufReader<Wire>,
    server: SocketAddr,
}

/// The data connection of a negotiation: already dialled, or to be accepted.
#[derive(Debug)]
pub enum Negotiated {
    /// Passive: where to dial.
    Dial(SocketAddr),
    /// Active: where the server will dial.
    Accept(TcpListener),
}

impl Negotiated {
    /// The port that was agreed on: the server's if passive, the client's if active.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn port(&self) -> Result<u16> {
        match self {
            Self::Dial(address) => Ok(address.port()),
            Self::Accept(listener) => Ok(listener.local_addr()?.port()),
        }
    }
}

impl<'a> Control<'a> {
    /// Connects from inside `netns` and reads the greeting.
    ///
    /// # Errors
    /// When the server does not answer or does not say 220.
    pub fn connect(netns: &'a Netns, server: (IpAddr, u16)) -> Result<Self> {
        let server = SocketAddr::from(server);
        let wire = Wire::Plain(dial(netns, server)?);
        Self::greeted(netns, server, wire)
    }

    fn greeted(netns: &'a Netns, server: SocketAddr, wire: Wire) -> Result<Self> {
        let mut control = Self {
            netns,
            stream: BufReader::new(wire),
            server,
        };
        let greeting = control.reply()?;
        ensure!(greeting.code == 220, "instead of a greeting: {greeting:?}");
        Ok(control)
    }

    /// Connects and logs in as anonymous, in binary mode.
    ///
    /// # Errors
    /// As [`Control::connect`], and when the server refuses.
    pub fn login(netns: &'a Netns, server: (IpAddr, u16)) -> Result<Self> {
        let mut control = Self::connect(netns, server)?;
        control.log_in()?;
        Ok(control)
    }

    /// Connects and logs in, with TLS or without.
    ///
    /// # Errors
    /// As [`Control::login`], and when TLS does not come about.
    pub fn login_over(netns: &'a Netns, server: (IpAddr, u16), security: Security) -> Result<Self> {
        let mut control = match security.tls {
            Tls::Off => return Self::login(netns, server),
            Tls::Explicit => Self::connect(netns, server)?.secret()?,
            Tls::Implicit => {
                let server = SocketAddr::from(server);
                let wire = Wire::secret(dial(netns, server)?)?;
                Self::greeted(netns, server, wire)?
            }
        };
        control.log_in()?;
        control.expect("PBSZ 0", 200)?;
        control.expect(security.protection.command(), 200)?;
        Ok(control)
    }

    fn log_in(&mut self) -> Result<()> {
        self.expect(&format!("USER {USER}"), 331)?;
        self.expect(&format!("PASS {PASSWORD}"), 230)?;
        self.expect("TYPE I", 200)?;
        Ok(())
    }

    /// Goes on in TLS (RFC 4217 §4).
    fn secret(mut self) -> Result<Self> {
        self.expect("AUTH TLS", 234)?;
        let plain = self.stream.into_inner().into_plain()?;
        self.stream = BufReader::new(Wire::secret(plain)?);
        Ok(self)
    }

    /// Goes on in plain text (RFC 4217 §12.3).
    ///
    /// # Errors
    /// When the server refuses, or does not end TLS.
    pub fn clear(mut self) -> Result<Self> {
        self.expect("CCC", 200)?;
        let plain = self.stream.into_inner().into_plain()?;
        self.stream = BufReader::new(Wire::Plain(plain));
        Ok(self)
    }

    /// The client's address of this connection.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().tcp().local_addr()?)
    }

    /// Sends bytes as they are, in one segment if they fit.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let wire = self.stream.get_mut();
        wire.write_all(bytes)
            .and_then(|()| wire.flush())
            .context("write to the control connection")
    }

    /// Sends a command without waiting for its reply.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, command: &str) -> Result<()> {
        self.send_raw(format!("{command}\r\n").as_bytes())
    }

    /// Reads one whole reply: a multi-line one ends with its own code and a space (RFC 959 §4.2).
    ///
    /// # Errors
    /// When the server closes, is silent, or sends no reply code.
    pub fn reply(&mut self) -> Result<Reply> {
        let first = self.line()?;
        let code = first.get(..3).and_then(|code| code.parse().ok());
        let code = code.with_context(|| format!("no reply code in {first:?}"))?;
        let end = format!("{code} ");
        let mut lines = vec![first];
        if lines[0].as_bytes().get(3) == Some(&b'-') {
            while !lines.last().is_some_and(|line| line.starts_with(&end)) {
                lines.push(self.line()?);
            }
        }
        Ok(Reply { code, lines })
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// As [`Control::send`] and [`Control::reply`].
    pub fn command(&mut self, command: &str) -> Result<Reply> {
        self.send(command)?;
        self.reply().with_context(|| format!("reply to {command}"))
    }

    /// Sends a command and insists on the code of its reply.
    ///
    /// # Errors
    /// When another comes.
    pub fn expect(&mut self, command: &str, code: u16) -> Result<Reply> {
        let reply = self.command(command)?;
        ensure!(
            reply.code == code,
            "{command} was answered by {reply:?}, not {code}"
        );
        Ok(reply)
    }

    /// Negotiates a data connection but does not use it yet.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn negotiate(&mut self, mode: Mode) -> Result<Negotiated> {
        if mode.is_passive() {
            let port = match mode {
                Mode::Pasv => self.expect("PASV", 227)?.port_of_227()?,
                _ => self.expect("EPSV", 229)?.port_of_229()?,
            };
            return Ok(Negotiated::Dial(SocketAddr::new(self.server.ip(), port)));
        }
        let local = self.local()?.ip();
        let listener = self
            .netns
            .run(|| TcpListener::bind((local, 0)))?
            .context("listen")?;
        let port = listener.local_addr()?.port();
        self.expect(&active_command(mode, local, port)?, 200)?;
        Ok(Negotiated::Accept(listener))
    }

    /// Opens the data connection of a passive negotiation, or accepts that of an active one.
    ///
    /// # Errors
    /// When it does not come about within [`patience`].
    pub fn data(&self, negotiated: &Negotiated) -> Result<TcpStream> {
        match negotiated {
            Negotiated::Dial(address) => dial(self.netns, *address),
            Negotiated::Accept(listener) => accept(listener),
        }
    }

    /// Reads a download to its end and the 226 behind it, and closes the data connection.
    ///
    /// # Errors
    /// When other bytes arrive, or another reply.
    pub fn receive(&mut self, mut data: TcpStream, wanted: &[u8]) -> Result<()> {
        ensure!(read_all(&mut data)? == wanted, "other bytes arrived");
        let reply = self.reply()?;
        ensure!(
            reply.code == 226,
            "the transfer was not completed: {reply:?}"
        );
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self
            .stream
            .read_line(&mut line)
            .context("read the control connection")?;
        ensure!(length > 0, "the server closed the control connection");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// `PORT h,h,h,h,p,p` (RFC 959 §4.1.2) or `EPRT |family|address|port|` (RFC 2428 §2).
///
/// # Errors
/// For a PORT of an IPv6 address, and for modes that are passive.
pub fn active_command(mode: Mode, address: IpAddr, port: u16) -> Result<String> {
    match (mode, address) {
        (Mode::Port, IpAddr::V4(address)) => {
            let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
            Ok(format!("PORT {a},{b},{c},{d},{high},{low}"))
        }
        (Mode::Eprt, IpAddr::V4(_)) => Ok(format!("EPRT |1|{address}|{port}|")),
        (Mode::Eprt, IpAddr::V6(_)) => Ok(format!("EPRT |2|{address}|{port}|")),
        _ => Err(anyhow!("{mode:?} has no command for {address}")),
    }
}

/// Connects from inside a namespace.
///
/// # Errors
/// When nobody answers within [`patience`] or the connection is refused.
pub fn dial(netns: &Netns, address: SocketAddr) -> Result<TcpStream> {
    let stream = netns
        .run(|| TcpStream::connect_timeout(&address, patience()))?
        .with_context(|| format!("connect to {address} from {}", netns.name()))?;
    prepare(&stream)?;
    Ok(stream)
}

/// Accepts one connection.
///
/// # Errors
/// When none comes within [`patience`].
pub fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(false)?;
    set_socket_timeout(listener, Timeout::Recv, Some(patience()))?;
    let (stream, _) = listener
        .accept()
        .with_context(|| format!("waited {:?} for a connection", patience()))?;
    prepare(&stream)?;
    Ok(stream)
}

/// Reads to the end of a data connection.
///
/// # Errors
/// When the other end is silent for [`patience`].
pub fn read_all(stream: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .context("read the data connection")?;
    Ok(bytes)
}

/// Bounds how long reading and writing wait, and sends every write at once.
///
/// # Errors
/// When the socket refuses.
pub fn prepare(stream: &TcpStream) -> Result<()> {
    let patience: Option<Duration> = Some(patience());
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.set_nodelay(true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_commands() {
        let (v4, v6) = ("10.1.2.3".parse().unwrap(), "fd77::2".parse().unwrap());
        assert_eq!(
            active_command(Mode::Port, v4, 513).unwrap(),
            "PORT 10,1,2,3,2,1"
        );
        assert_eq!(
            active_command(Mode::Eprt, v4, 513).unwrap(),
            "EPRT |1|10.1.2.3|513|"
        );
        assert_eq!(
            active_command(Mode::Eprt, v6, 513).unwrap(),
            "EPRT |2|fd77::2|513|"
        );
        assert!(active_command(Mode::Port, v6, 513).is_err());
    }
}
