//! TCP sockets of the server's host, one in each state that the filter may find.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::{
    ghost::{Ghost, with_checksum},
    haunt::Haunt,
    lab::{Family, Lab},
    netns::Netns,
    packets, wait,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::{BEGUN, DUAL_STACK, OVERDUE, SERVICE};

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Of a service, established.
    Established,
    /// The same, of a listener of IPv6 that takes IPv4 too.
    DualStack,
    /// The client has closed its end: CLOSE_WAIT.
    CloseWait,
    /// The server has closed its end: FIN_WAIT2.
    FinWait,
    /// Both have, the server first: TIME_WAIT.
    TimeWait,
    /// The server dialled the client.
    Outgoing,
    /// The server dials somebody who does not answer: SYN_SENT.
    SynSent,
    /// A SYN came and no ACK yet, to a port without a tuple: a request socket.
    Unarmed,
    /// The same, to [`BEGUN`].
    Begun,
    /// The same, to [`OVERDUE`].
    Overdue,
    /// A control connection.
    Control,
}

/// The sockets of one family.
pub struct Sockets {
    /// Remote end and the server's.
    pub ends: Vec<(What, [SocketAddr; 2])>,
    /// Sequence number of the byte that the server wants next of the control connection.
    pub control_next: u32,
    _streams: Vec<TcpStream>,
    _listeners: Vec<TcpListener>,
    _dialling: OwnedFd,
}

impl Sockets {
    pub fn open(lab: &Lab, family: Family) -> Result<Self> {
        let mut opening = Opening {
            lab,
            client: lab.client.address(family),
            server: lab.server.address(family),
            ends: Vec::new(),
            streams: Vec::new(),
            listeners: Vec::new(),
        };
        opening.connections()?;
        opening.dialled_by_the_server()?;
        let haunt = Haunt::new(lab, family)?;
        opening.half_open(&haunt)?;
        let dialling = opening.dials(&haunt)?;
        let control_next = opening.control(&haunt)?;
        Ok(Self {
            ends: opening.ends,
            control_next,
            _streams: opening.streams,
            _listeners: opening.listeners,
            _dialling: dialling,
        })
    }
}

struct Opening<'a> {
    lab: &'a Lab,
    client: IpAddr,
    server: IpAddr,
    ends: Vec<(What, [SocketAddr; 2])>,
    streams: Vec<TcpStream>,
    listeners: Vec<TcpListener>,
}

impl Opening<'_> {
    fn listen(&mut self, netns: &Netns, address: IpAddr, port: u16) -> Result<&TcpListener> {
        let listener = netns.run(|| TcpListener::bind((address, port)))??;
        self.listeners.push(listener);
        Ok(self.listeners.last().expect("pushed just now"))
    }

    fn connections(&mut self) -> Result<()> {
        let (lab, server) = (self.lab, self.server);
        // One listener for each family: the test of one shall not need the other's.
        let dual_stack = DUAL_STACK + u16::from(server.is_ipv6());
        let any = Ipv6Addr::UNSPECIFIED.into();
        for (what, port, from, address, state) in [
            (What::Established, SERVICE, 31_001, server, "01"),
            (What::CloseWait, SERVICE, 31_002, server, "08"),
            (What::FinWait, SERVICE, 31_003, server, "05"),
            (What::TimeWait, SERVICE, 31_004, server, "06"),
            (What::DualStack, dual_stack, 31_006, any, "01"),
        ] {
            let ends = [(self.client, from), (server, port)].map(SocketAddr::from);
            let mut known = self.listeners.iter();
            let known = known.rposition(|it| it.local_addr().is_ok_and(|it| it.port() == port));
            let listener = match known {
                Some(at) => &self.listeners[at],
                None => self.listen(&lab.server.netns, address, port)?,
            };
            let dialled = dial(&lab.client.netns, ends[0], ends[1])?;
            let (accepted, _) = listener.accept()?;
            let (accepted, dialled) = finish(what, accepted, dialled)?;
            self.streams
                .extend([accepted, dialled].into_iter().flatten());
            self.expect(what, ends, state)?;
        }
        Ok(())
    }

    fn dialled_by_the_server(&mut self) -> Result<()> {
        let ends = [(self.client, 6000), (self.server, 31_007)].map(SocketAddr::from);
        let lab = self.lab;
        let listener = self.listen(&lab.client.netns, self.client, ends[0].port())?;
        let dialled = dial(&lab.server.netns, ends[1], ends[0])?;
        let (accepted, _) = listener.accept()?;
        self.streams.extend([accepted, dialled]);
        self.expect(What::Outgoing, ends, "01")
    }

    /// SYNs of somebody who says no more.
    fn half_open(&mut self, haunt: &Haunt<'_>) -> Result<()> {
        for (what, port, from) in [
            (What::Unarmed, SERVICE, 31_008),
            (What::Begun, BEGUN, 31_009),
            (What::Overdue, OVERDUE, 31_010),
        ] {
            if port != SERVICE {
                self.listen(&self.lab.server.netns, self.server, port)?;
            }
            let ends = [(haunt.address, from), (self.server, port)].map(SocketAddr::from);
            haunt.send(with_checksum(packets::tcp(ends[0], ends[1], "S", b"")))?;
            self.expect(what, ends, "03")?;
        }
        Ok(())
    }

    /// Of somebody whose numbers are known.
    fn control(&mut self, haunt: &Haunt<'_>) -> Result<u32> {
        const MSS: u16 = 1400;
        let server = self.server;
        let listener = self.listen(&self.lab.server.netns, server, 21)?;
        let ghost = Ghost::connect(haunt, 21, MSS)?;
        let (accepted, _) = listener.accept()?;
        self.streams.push(accepted);
        self.expect(What::Control, [ghost.local, ghost.remote], "01")?;
        Ok(ghost.next)
    }

    fn dials(&mut self, haunt: &Haunt<'_>) -> Result<OwnedFd> {
        let ends = [(haunt.address, 6001), (self.server, 31_011)].map(SocketAddr::from);
        let begin = || -> Result<OwnedFd> {
            let socket = bound(ends[1], SocketFlags::NONBLOCK)?;
            let begun = connect(&socket, &ends[0]);
            ensure!(begun == Err(Errno::INPROGRESS), "{begun:?}");
            Ok(socket)
        };
        let socket = self.lab.server.netns.run(begin)??;
        self.expect(What::SynSent, ends, "02")?;
        Ok(socket)
    }

    /// Waits until the server's host has the socket, in that state (include/net/tcp_states.h, as
    /// printed; a request socket as SYN_RECV).
    fn expect(&mut self, what: What, ends: [SocketAddr; 2], state: &str) -> Result<()> {
        let table = match self.server {
            IpAddr::V4(_) if what != What::DualStack => "tcp",
            _ => "tcp6",
        };
        let path = format!("/proc/thread-self/net/{table}");
        let [remote, local] = ends.map(|end| format!(":{:04X}", end.port()));
        let is_it = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().take(4).collect();
            fields.len() == 4
                && fields[1].ends_with(&local)
                && fields[2].ends_with(&remote)
                && fields[3] == state
        };
        let look = || {
            wait::until(&format!("{what:?} of {ends:?}"), || {
                let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
                Ok(text.lines().any(is_it).then_some(()))
            })
        };
        self.lab.server.netns.run(look)??;
        self.ends.push((what, ends));
        Ok(())
    }
}

/// Takes a connection to the state that is wanted, and hands back what must stay open.
fn finish(
    what: What,
    mut accepted: TcpStream,
    mut dialled: TcpStream,
) -> Result<(Option<TcpStream>, Option<TcpStream>)> {
    use std::net::Shutdown::Write;
    match what {
        What::CloseWait => dialled.shutdown(Write)?,
        What::FinWait => accepted.shutdown(Write)?,
        What::TimeWait => {
            accepted.shutdown(Write)?;
            ensure!(dialled.read(&mut [0])? == 0, "the end of the stream");
            drop(dialled);
            ensure!(accepted.read(&mut [0])? == 0, "the end of the stream");
            return Ok((None, None));
        }
        _ => {}
    }
    Ok((Some(accepted), Some(dialled)))
}

fn bound(local: SocketAddr, flags: SocketFlags) -> Result<OwnedFd> {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    bind(&socket, &local)?;
    Ok(socket)
}

fn dial(netns: &Netns, local: SocketAddr, remote: SocketAddr) -> Result<TcpStream> {
    netns.run(|| {
        let socket = bound(local, SocketFlags::empty())?;
        connect(&socket, &remote)?;
        Ok(socket.into())
    })?
}
