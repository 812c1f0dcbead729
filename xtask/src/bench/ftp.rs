//! A small FTP server for benchmarks: what it does itself takes no time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Host;

/// Listens on port 21 of a host until the process ends. Every session is taken; `EPSV` names the
/// same port each time.
///
/// # Errors
/// When the port is taken.
pub fn serve(host: &Host) -> Result<()> {
    let bind = |port| TcpListener::bind(SocketAddrV4::new(host.v4, port));
    let (control, data) = host.netns.run(|| (bind(21), bind(0)))?;
    let (control, data) = (control?, data?);
    let port = data.local_addr()?.port();
    // Who dials gets nothing, and a place in the queue for the next one.
    thread::spawn(move || data.incoming().for_each(drop));
    thread::spawn(move || {
        for client in control.incoming().flatten() {
            thread::spawn(move || session(client, port));
        }
    });
    Ok(())
}

/// Until the client hangs up.
fn session(client: TcpStream, port: u16) -> Result<()> {
    client.set_nodelay(true)?;
    let mut lines = BufReader::new(&client).lines();
    (&client).write_all(b"220 ready\r\n")?;
    while let Some(Ok(line)) = lines.next() {
        let reply = match line.as_str() {
            "USER a" => "230 in\r\n".to_owned(),
            "EPSV" => format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"),
            _ => "200 as you like it, whatever it was that you said\r\n".to_owned(),
        };
        (&client).write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// A client of it.
pub struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    /// Connects and reads the banner; from the namespace of the calling thread.
    ///
    /// # Errors
    /// When the server says something else.
    pub fn connect(server: Ipv4Addr) -> Result<Self> {
        let stream = TcpStream::connect((server, 21)).context("dial port 21")?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            line: String::new(),
        };
        client.reply("220")?;
        Ok(client)
    }

    /// As [`Client::connect`], and logs in.
    ///
    /// # Errors
    /// As there.
    pub fn login(server: Ipv4Addr) -> Result<Self> {
        let mut client = Self::connect(server)?;
        client.say("USER a", "230")?;
        Ok(client)
    }

    /// Says a command and reads the reply, whose code is given.
    ///
    /// # Errors
    /// When it is another one.
    pub fn say(&mut self, command: &str, code: &str) -> Result<&str> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        self.reply(code)
    }

    /// Negotiates; the port to dial.
    ///
    /// # Errors
    /// When there is none.
    pub fn passive(&mut self) -> Result<u16> {
        let reply = self.say("EPSV", "229")?;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok());
        port.with_context(|| format!("no port in {reply:?}"))
    }

    fn reply(&mut self, code: &str) -> Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        ensure!(self.line.starts_with(code), "{:?}, not {code}", self.line);
        Ok(&self.line)
    }
}
