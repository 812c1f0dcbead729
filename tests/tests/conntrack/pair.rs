//! Client and server in a namespace each, and the server's `nf_conntrack_ftp` between them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ftpfw_common::{Address, abi::event::Direction};
use ftpfw_tests::{netns::Netns, programs, wait};
use rustix::net::{AddressFamily, SocketType};

use crate::Open;

const CONTROL_PORT: u16 = 21;
/// How long a read waits before it is asked what else happened.
const MOMENT: Duration = Duration::from_millis(100);
/// A segment that was seen so often and has not arrived never will.
const COPIES: u32 = 4;
/// The addresses that the transcripts name.
const SERVER: [&str; 2] = ["10.77.0.1", "fd77::1"];
const CLIENT: [&str; 2] = ["10.0.0.9", "fd77::9"];

/// No connection has a helper unless a rule says so. The counters see segments with data before the
/// helper does.
const RULES: &str = "\
table inet firewall {
    ct helper ftp { type \"ftp\" protocol tcp; }
    counter commands { }
    counter replies { }
    chain prerouting {
        type filter hook prerouting priority filter;
        tcp dport 21 ct helper set \"ftp\"
        tcp dport 21 tcp flags & psh == psh counter name commands
    }
    chain output {
        type filter hook output priority filter;
        tcp sport 21 tcp flags & psh == psh counter name replies
    }
}";

/// The two namespaces.
pub struct Pair {
    server: Netns,
    client: Netns,
    listeners: [TcpListener; 2],
}

impl Pair {
    pub fn new() -> Result<Self> {
        let server = Netns::new("conntrack-server")?;
        let client = Netns::new("conntrack-client")?;
        server.ip(&format!(
            "link add eth0 type veth peer name eth0 netns {}",
            client.name()
        ))?;
        for (netns, [v4, v6]) in [(&server, SERVER), (&client, CLIENT)] {
            netns.ip(&format!(
                "addr add {v4}/8 dev eth0\naddr add {v6}/64 dev eth0 nodad\nlink set eth0 up"
            ))?;
            netns.wait_for_address(v4.parse()?)?;
            netns.wait_for_address(v6.parse()?)?;
            // What is dropped comes again soon.
            netns.ip(&format!(
                "route change 10.0.0.0/8 dev eth0 src {v4} rto_min 50ms\n\
                 route add fd77::/64 dev eth0 metric 1 rto_min 50ms"
            ))?;
        }
        run(&server, "nft", &[RULES])?;
        let listen = |address: &str| -> Result<TcpListener> {
            let address: IpAddr = address.parse()?;
            Ok(server.run(|| TcpListener::bind((address, CONTROL_PORT)))??)
        };
        let listeners = [listen(SERVER[0])?, listen(SERVER[1])?];
        Ok(Self {
            server,
            client,
            listeners,
        })
    }

    /// A new control connection.
    pub fn connect(&self, client: Address) -> Result<Talk<'_>> {
        let client = IpAddr::from(client);
        let (family, listener) = match client {
            IpAddr::V4(_) => (AddressFamily::INET, &self.listeners[0]),
            IpAddr::V6(_) => (AddressFamily::INET6, &self.listeners[1]),
        };
        let server = listener.local_addr()?;
        // It drops a segment that expects what another control connection does already.
        run(&self.server, "conntrack", &["-F", "expect"])?;
        let near = self.client.run(|| -> Result<TcpStream> {
            let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
            rustix::net::bind(&socket, &SocketAddr::new(client, 0))?;
            rustix::net::connect(&socket, &server).context("connect")?;
            Ok(socket.into())
        })??;
        let (far, client) = listener.accept()?;
        for end in [&near, &far] {
            // Each step is to be a segment, at once.
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(MOMENT))?;
        }
        Ok(Talk {
            pair: self,
            ends: [near, far],
            client,
            server: server.ip(),
        })
    }
}

/// A control connection under way.
pub struct Talk<'a> {
    pair: &'a Pair,
    /// The client's, then the server's.
    ends: [TcpStream; 2],
    client: SocketAddr,
    server: IpAddr,
}

impl Talk<'_> {
    /// Sends bytes. `true` when the other end has them: conntrack has, then. `false` when conntrack
    /// drops them, again and again.
    pub fn say(&mut self, direction: Direction, bytes: &[u8]) -> Result<bool> {
        let [client, server] = &mut self.ends;
        let (from, to, counter) = match direction {
            Direction::Client => (client, server, "commands"),
            Direction::Server => (server, client, "replies"),
        };
        let netns = &self.pair.server;
        from.write_all(bytes)?;
        let mut arrived = Vec::new();
        if all_arrived(to, &mut arrived, bytes)? {
            return Ok(true);
        }
        run(
            netns,
            "nft",
            &["reset", "counter", "inet", "firewall", counter],
        )?;
        wait::until("the bytes, or copies of them", || {
            let counted = run(
                netns,
                "nft",
                &["list", "counter", "inet", "firewall", counter],
            )?;
            Ok(match all_arrived(to, &mut arrived, bytes)? {
                true => Some(true),
                false => (packets(&counted)? >= COPIES).then_some(false),
            })
        })
    }

    /// The data connections that conntrack expects of this control connection.
    pub fn expected(&self) -> Result<Vec<Open>> {
        let family = if self.server.is_ipv4() {
            "ipv4"
        } else {
            "ipv6"
        };
        let list = run(
            &self.pair.server,
            "conntrack",
            &["-L", "expect", "-f", family],
        )?;
        let lines = list.lines().filter(|line| self.is_ours(line));
        lines.map(|line| self.read(line)).collect()
    }

    fn is_ours(&self, line: &str) -> bool {
        let master = line.split_once(" master-src=").map(|(_, master)| master);
        let port = format!(" sport={} ", self.client.port());
        master.is_some_and(|master| master.contains(&port))
    }

    fn read(&self, line: &str) -> Result<Open> {
        let field = |name: &str| {
            let fields = line.split(' ');
            let mut values = fields.filter_map(|field| field.strip_prefix(name));
            values
                .next()
                .with_context(|| format!("no {name} in {line}"))
        };
        let (from, to): (IpAddr, IpAddr) = (field("src=")?.parse()?, field("dst=")?.parse()?);
        let port = field("dport=")?.parse()?;
        let ends = (self.client.ip(), self.server);
        if (from, to) == ends {
            Ok(Open::Passive(port))
        } else if (to, from) == ends {
            Ok(Open::Active(port))
        } else {
            Ok(Open::Elsewhere(to, port))
        }
    }
}

/// Reads what there is of `bytes`; whether that is all.
fn all_arrived(from: &mut TcpStream, arrived: &mut Vec<u8>, bytes: &[u8]) -> Result<bool> {
    let rest = (bytes.len() - arrived.len()) as u64;
    match from.take(rest).read_to_end(arrived) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error).context("read"),
    }
    ensure!(bytes.starts_with(arrived), "other bytes arrived");
    Ok(arrived.len() == bytes.len())
}

/// The number of packets in what `nft` says of a counter.
fn packets(counter: &str) -> Result<u32> {
    let mut words = counter.split_whitespace();
    let number = words.by_ref().skip_while(|word| *word != "packets").nth(1);
    Ok(number.context("no packets")?.parse()?)
}

/// Runs a program inside; what it printed.
fn run(netns: &Netns, program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(programs::find(program)?);
    command.args(arguments);
    let output = netns.run(|| command.output())??;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
