//! An FTP server that says what its script says and nothing else, and a client that does so too.
//!
//! Both ends of a [`Talk`] are held by the test: what one sends, the other has received, byte for
//! byte, before the next is sent. Whatever ftpfw concludes from it, it has concluded by then.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};

use crate::control::{accept, dial};
use crate::lab::{Family, Host};
use crate::netns::Netns;
use crate::wait;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 512;

/// Listeners in the namespace of a server.
#[derive(Debug)]
pub struct Scripted<'a> {
    netns: &'a Netns,
    /// The server's address.
    pub address: IpAddr,
    control: TcpListener,
}

impl<'a> Scripted<'a> {
    /// Listens on port 21 of the host's address of that family.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(host: &'a Host, family: Family) -> Result<Self> {
        let (netns, address) = (&host.netns, host.address(family));
        Ok(Self {
            netns,
            address,
            control: listen_on(netns, SocketAddr::new(address, 21))?,
        })
    }

    /// A data port that the server listens on.
    ///
    /// # Errors
    /// When it is taken.
    pub fn listen(&self, port: u16) -> Result<TcpListener> {
        self.listen_at(SocketAddr::new(self.address, port))
    }

    /// A data port on another address of the server, or on all of them.
    ///
    /// # Errors
    /// When it is taken, or the address is not the server's.
    pub fn listen_at(&self, address: SocketAddr) -> Result<TcpListener> {
        listen_on(self.netns, address)
    }

    /// Takes the next control connection.
    ///
    /// # Errors
    /// When none comes.
    pub fn accept(&self) -> Result<TcpStream> {
        accept(&self.control)
    }

    /// A control connection from inside `client`, nothing said yet.
    ///
    /// # Errors
    /// When it does not come about.
    pub fn talk(&self, client: &Netns) -> Result<Talk> {
        let client = dial(client, SocketAddr::new(self.address, 21))?;
        let server = self.accept()?;
        ensure!(
            server.peer_addr()? == client.local_addr()?,
            "somebody else connected"
        );
        Ok(Talk { client, server })
    }

    /// Dials a client from the FTP data port, without waiting for what comes of it.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn dial_from_20(&self, to: SocketAddr) -> Result<TcpStream> {
        let from = SocketAddr::new(self.address, 20);
        self.netns.run(|| {
            let family = AddressFamily::from_raw(family_of(from));
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(family, SocketType::STREAM, flags, None)?;
            set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &from).context("bind port 20")?;
            match connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
                Err(error) => Err(error).with_context(|| format!("dial {to}")),
            }
        })?
    }
}

fn family_of(address: SocketAddr) -> u16 {
    if address.is_ipv4() {
        AddressFamily::INET.as_raw()
    } else {
        AddressFamily::INET6.as_raw()
    }
}

/// Listens, with room for many.
///
/// # Errors
/// When the address stays taken.
pub fn listen_on(netns: &Netns, address: SocketAddr) -> Result<TcpListener> {
    netns.run(|| {
        let family = AddressFamily::from_raw(family_of(address));
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        // A process that another thread is about to start holds the last listener until its exec.
        wait::until("the port to be free", || match bind(&socket, &address) {
            Ok(()) => Ok(Some(())),
            Err(Errno::ADDRINUSE) => Ok(None),
            Err(error) => Err(error.into()),
        })
        .with_context(|| format!("bind {address}"))?;
        listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    })?
}

/// Both ends of one control connection.
#[derive(Debug)]
pub struct Talk {
    /// The client's.
    pub client: TcpStream,
    /// The server's.
    pub server: TcpStream,
}

impl Talk {
    /// The client says something; done when the server has heard it.
    ///
    /// # Errors
    /// When it hears something else.
    pub fn c(&mut self, bytes: &[u8]) -> Result<()> {
        self.client.write_all(bytes)?;
        heard(&mut self.server, bytes).context("the server")
    }

    /// The server says something; done when the client has heard it.
    ///
    /// # Errors
    /// When it hears something else.
    pub fn s(&mut self, bytes: &[u8]) -> Result<()> {
        self.server.write_all(bytes)?;
        heard(&mut self.client, bytes).context("the client")
    }

    /// Plays lines that begin with
    ///
    /// | start | meaning |
    /// |---|---|
    /// | `C ` / `S ` | the client / the server sends this line; CR LF is added |
    /// | `c ` / `s ` | the same, but only these bytes |
    ///
    /// # Errors
    /// When one end does not hear what the other has said.
    pub fn play<T: AsRef<str>>(&mut self, script: &[T]) -> Result<()> {
        for line in script {
            let line = line.as_ref();
            let (who, text) = line.split_once(' ').unwrap_or((line, ""));
            match who {
                "C" => self.c(format!("{text}\r\n").as_bytes()),
                "S" => self.s(format!("{text}\r\n").as_bytes()),
                "c" => self.c(text.as_bytes()),
                "s" => self.s(text.as_bytes()),
                _ => bail!("nobody says that"),
            }
            .with_context(|| format!("{line:?}"))?;
        }
        Ok(())
    }

    /// The client closes as a crash would: by a RST.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn reset(self) -> Result<()> {
        set_socket_linger(&self.client, Some(std::time::Duration::ZERO))?;
        drop(self.client);
        Ok(())
    }
}

/// Insists on these bytes.
///
/// # Errors
/// When others come, or fewer.
pub fn heard(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut heard = vec![0; bytes.len()];
    stream
        .read_exact(&mut heard)
        .with_context(|| format!("did not hear {:?}", String::from_utf8_lossy(bytes)))?;
    ensure!(
        heard == bytes,
        "heard {:?} instead of {:?}",
        String::from_utf8_lossy(&heard),
        String::from_utf8_lossy(bytes)
    );
    Ok(())
}
