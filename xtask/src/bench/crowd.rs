//! Many control connections: both ends of some are this process's, the others keep still.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

use anyhow::{Result, ensure};
use ftpfw_tests::netns::Netns;

use super::contender::Contender;
use super::hold::{BATCH, Holders};
use super::pass::connection;

/// What is said.
const COMMAND: &[u8] = b"NOOP\r\n";
const REPLY: &[u8] = b"200 ok\r\n";
/// Sessions that say anything.
const TALKING: u32 = 4_000;
/// Client ports of one address.
const PORTS: u32 = 60_000;

/// Sessions that have been greeted.
pub struct Crowd {
    /// Client's and server's ends of those that talk.
    sessions: Vec<(TcpStream, TcpStream)>,
    /// Whose turn it is.
    next: usize,
    _holders: Holders,
}

impl Crowd {
    /// Makes so many, at most 180,000. `from` is silent where some keep still (`hold::silence`).
    ///
    /// # Errors
    /// When a connection cannot be made.
    pub fn gather(contender: &Contender, from: &Netns, count: u32) -> Result<Self> {
        let server = SocketAddrV4::new(contender.host.v4, 21);
        let listener = contender.host.netns.run(|| TcpListener::bind(server))??;
        // More addresses for more ports.
        let [a, b, c, _] = contender.client.octets();
        let address = |number: u32| Ipv4Addr::new(a, b, c, 2 + (number / PORTS) as u8);
        for number in (PORTS..count).step_by(PORTS as usize) {
            from.ip(&format!("addr add {}/32 dev lo", address(number)))?;
        }
        let make = |number: u32| {
            let port = u16::try_from(number % PORTS).expect("fewer than ports") + 1024;
            greeted(connection(address(number), port, &listener)?)
        };
        let mut holders = Holders::default();
        let talking = count.min(TALKING);
        let still: Vec<u32> = (talking..count).collect();
        for numbers in still.chunks(BATCH) {
            let server = |number: &u32| make(*number).map(|session| session.1);
            let servers = || numbers.iter().map(server).collect::<Result<Vec<_>>>();
            holders.hold(from.run(servers)??)?;
        }
        let sessions = from.run(|| (0..talking).map(make).collect::<Result<Vec<_>>>())??;
        Ok(Self {
            sessions,
            next: 0,
            _holders: holders,
        })
    }

    /// A session says something `times` times, a segment each, and is answered as often. Not the neighbour of
    /// the one before.
    ///
    /// # Errors
    /// When it does not arrive.
    pub fn talk(&mut self, times: usize) -> Result<()> {
        const STEP: usize = 7919;
        self.next = (self.next + STEP) % self.sessions.len();
        let (client, server) = &mut self.sessions[self.next];
        (0..times).try_for_each(|_| client.write_all(COMMAND))?;
        hear(server, times, COMMAND)?;
        (0..times).try_for_each(|_| server.write_all(REPLY))?;
        hear(client, times, REPLY)
    }
}

/// The server says what a session begins with.
fn greeted(mut session: (TcpStream, TcpStream)) -> Result<(TcpStream, TcpStream)> {
    const BANNER: &[u8] = b"220 ready\r\n";
    session.0.set_nodelay(true)?;
    session.1.set_nodelay(true)?;
    session.1.write_all(BANNER)?;
    hear(&mut session.0, 1, BANNER)?;
    Ok(session)
}

fn hear(stream: &mut TcpStream, times: usize, text: &[u8]) -> Result<()> {
    let mut bytes = vec![0; times * text.len()];
    stream.read_exact(&mut bytes)?;
    ensure!(bytes == text.repeat(times), "something else was heard");
    Ok(())
}
