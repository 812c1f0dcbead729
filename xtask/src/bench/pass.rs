//! What it costs to let a packet of an established data connection through.
//!
//! Packets: segments of 10,000 connections, in random order, from a generator in the next namespace; the
//! sockets throw them away as soon as the stack has found them (`Generator::swallow`), so that the time for
//! one is that of cable, filter and stack. Bulk: one connection, from socket to socket.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::descriptors;
use ftpfw_tests::generator::{Generator, Load};
use ftpfw_tests::netns::Netns;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::contender::{Contender, DATA_PORT, Filter, LETTING_IN};
use super::hold::{BATCH, Holders, silence};
use super::report::{Better, Bound, Report, Table};
use super::rounds::Samples;

/// Client ports of the connections.
const SOURCES: RangeInclusive<u16> = 20_000..=29_999;
/// One more connection, for bulk.
const BULK: u16 = 30_000;
/// Bytes of one measurement of it.
const BYTES: usize = 16 << 20;
/// Frames sent to one contender at a time.
const FRAMES: u32 = 20_000;

/// A contender with its connections.
struct Pair {
    contender: Contender,
    generator: Generator,
    _holders: Holders,
    client: TcpStream,
    server: TcpStream,
}

/// Measures packets and bulk.
///
/// # Errors
/// When a contender cannot be started, or does not let through what it is sent.
pub fn measure(rounds: u32) -> Result<Report> {
    descriptors::allow(2 * BATCH)?;
    let from = Netns::new("bench-generator")?;
    from.sysctl("ipv4/tcp_congestion_control", "reno")?;
    silence(&from)?;
    let pairs = (0_u8..).zip(LETTING_IN);
    let mut pairs: Vec<Pair> = pairs
        .map(|(number, filter)| Pair::new(filter, &from, number).context(filter.name()))
        .collect::<Result<_>>()?;
    let mut report = Report::new("pass")?;
    for length in [60, 1514] {
        for pair in &mut pairs {
            pair.passes(&from, length)
                .with_context(|| pair.contender.filter.name())?;
        }
        let samples = Samples::take(pairs.len(), rounds, |at| pairs[at].packets(&from, length))?;
        let title = format!("an established data packet of {length} bytes");
        tell(
            &mut report,
            &title,
            ("ns for a packet", Better::Lower),
            &samples,
        )?;
    }
    for (title, up) in [("bulk upload", true), ("bulk download", false)] {
        let samples = Samples::take(pairs.len(), rounds.div_ceil(4), |at| pairs[at].bulk(up))?;
        tell(&mut report, title, ("MB/s", Better::Higher), &samples)?;
    }
    Ok(report)
}

fn tell(
    report: &mut Report,
    title: &str,
    unit: (&'static str, Better),
    samples: &Samples,
) -> Result<()> {
    let names = LETTING_IN.map(Filter::name);
    let [none, native, again, tc, nft] = [0, 1, 2, 3, 4];
    report.table(Table::new(title, unit, &names, samples, none)?);
    let better = |of: usize, than: usize| match unit.1 {
        Better::Lower => samples.ratio(than, of),
        Better::Higher => samples.ratio(of, than),
    };
    if unit.1 == Better::Lower {
        let what = |against: &str| format!("{title}: ftpfw, native against {against}");
        report.goal(
            what("no firewall"),
            Bound::AtLeast(0.93),
            better(native, none)?,
        );
        report.goal(
            what("nft conntrack + ftp"),
            Bound::AtLeast(1.5),
            better(native, nft)?,
        );
    } else {
        let what = |against: &str| format!("{title}: ftpfw, tc against {against}");
        let least = samples.same(none, again)?;
        report.goal(
            what("no firewall"),
            Bound::AtLeast(least),
            better(tc, none)?,
        );
        report.goal(
            what("nft conntrack + ftp"),
            Bound::AtLeast(1.0),
            better(tc, nft)?,
        );
    }
    Ok(())
}

impl Pair {
    fn new(filter: Filter, from: &Netns, number: u8) -> Result<Self> {
        let mut contender = Contender::plug_in(filter, from, number)?;
        // ftpfw knows connections that are older than it is; conntrack does not.
        let first = matches!(filter, Filter::NftConntrack);
        if first {
            contender.arm(&[])?;
        }
        let server = SocketAddrV4::new(contender.host.v4, DATA_PORT);
        let listener = contender.host.netns.run(|| TcpListener::bind(server))??;
        let mut generator = Generator::load()?;
        let mut holders = Holders::default();
        let sources: Vec<u16> = SOURCES.collect();
        for ports in sources.chunks(BATCH) {
            // Who dialled is not needed any more: the generator speaks for it.
            let accept = |port: &u16| connection(contender.client, *port, &listener).map(|it| it.1);
            let accept = || ports.iter().map(accept).collect::<Result<Vec<_>>>();
            let servers = from.run(accept)??;
            generator.swallow(&servers)?;
            holders.hold(servers)?;
        }
        let (client, server) = from.run(|| connection(contender.client, BULK, &listener))??;
        if !first {
            contender.arm(&["--protect", &format!("{DATA_PORT}-65535")])?;
        }
        Ok(Self {
            contender,
            generator,
            _holders: holders,
            client,
            server,
        })
    }

    /// Sends packets; ns for one.
    fn packets(&mut self, from: &Netns, length: usize) -> Result<f64> {
        let load = Load {
            flags: Some("A"),
            ports: DATA_PORT..=DATA_PORT,
            first_sender: self.contender.client,
            senders: 1,
            sources: SOURCES,
            length,
        };
        let (interface, to) = (self.contender.interface, self.contender.host.v4);
        let took = self.generator.send(from, interface, to, &load, FRAMES)?;
        Ok(took.as_secs_f64() * 1e9)
    }

    /// Insists that what is sent gets through, where that can be told.
    fn passes(&mut self, from: &Netns, length: usize) -> Result<()> {
        let passed = |pair: &Self| match &pair.contender.firewall {
            Some(firewall) => Ok(firewall.stats()?.pass.get("socket").copied()),
            None => anyhow::Ok(None),
        };
        let before = passed(self)?;
        self.packets(from, length)?;
        if let Some(after) = passed(self)? {
            let came = after - before.unwrap_or(0);
            ensure!(came >= u64::from(FRAMES) * 99 / 100, "{came} passed");
        }
        Ok(())
    }

    /// Moves bytes over the connection; 10⁶ bytes a second.
    fn bulk(&mut self, up: bool) -> Result<f64> {
        let (mut from, mut to) = if up {
            (&self.client, &self.server)
        } else {
            (&self.server, &self.client)
        };
        let begin = Instant::now();
        thread::scope(|scope| {
            let sent = scope.spawn(move || from.write_all(&vec![0; BYTES]));
            let mut buffer = vec![0; 1 << 18];
            let mut rest = BYTES;
            while rest > 0 {
                match to.read(&mut buffer)? {
                    0 => bail!("the connection ended"),
                    count => rest -= count,
                }
            }
            sent.join().expect("it does not panic")?;
            Ok(())
        })?;
        Ok(BYTES as f64 / 1e6 / begin.elapsed().as_secs_f64())
    }
}

/// Client's and server's end of a connection from that port, in the namespace of the calling thread.
///
/// # Errors
/// When the port is taken, or nobody answers.
pub fn connection(
    client: Ipv4Addr,
    port: u16,
    listener: &TcpListener,
) -> Result<(TcpStream, TcpStream)> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((client, port)))?;
    connect(&socket, &listener.local_addr()?).with_context(|| format!("dial from {port}"))?;
    Ok((socket.into(), listener.accept()?.0))
}
