//! Is a port of the server open, refused or dropped?
//!
//! Silence is proved by an event, not by waiting: after the SYNs in question goes one more, to a
//! port that is closed but not protected. Both take the same way in the same order (one sending CPU,
//! one queue), so that when the answer to the last one is here, the others have none to come.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::TcpHeader;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto,
    socket_with,
};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use crate::firewall::Firewall;
use crate::lab::{Family, Host};
use crate::wait::{factor, patience};

/// Closed on every host of a laboratory and never protected (tcpmux): its answer is a RST.
const SENTINEL: u16 = 1;
/// SYNs on the way at once; a queue of the kernel that overflows (1,000) would look like a drop.
const BATCH: usize = 128;
/// For how long the answer to the last SYN may stay away before all of a batch counts as lost on its
/// way: a veth's ring of 256 frames overflows where other traffic fills it on a busy machine.
fn lost_after() -> Duration {
    Duration::from_secs(2) * factor()
}

/// What came back for a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// SYN-ACK: something listens and the SYN got there. The connection is never completed: the
    /// client's kernel knows nothing of it and answers RST.
    Open,
    /// RST: nothing listens, but the SYN got through to the stack.
    Refused,
    /// Nothing, and nothing will come.
    Silent,
}

/// What a scan came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// What came back from each port.
    pub answers: BTreeMap<u16, Answer>,
    /// SYNs that were sent to these ports: one each, and more where they were lost on their way.
    pub syns: u64,
}

/// Sends one SYN to each port of `target` from the namespace of `from`.
///
/// # Errors
/// Without root, or when the target does not even answer on an unprotected port.
pub fn scan(
    from: &Host,
    target: IpAddr,
    ports: impl IntoIterator<Item = u16> + Send,
) -> Result<BTreeMap<u16, Answer>> {
    Ok(scan_and_count(from, target, ports)?.answers)
}

/// The same, and how many SYNs it took: for who compares them with what the filter counted.
///
/// # Errors
/// As [`scan`].
pub fn scan_and_count(
    from: &Host,
    target: IpAddr,
    ports: impl IntoIterator<Item = u16> + Send,
) -> Result<Scan> {
    let source = from.address(Family::of(target));
    from.netns
        .run(|| Scanner::new(source, target)?.scan(ports))?
}

/// Sends one SYN to one port.
///
/// # Errors
/// As [`scan`].
pub fn probe(from: &Host, target: IpAddr, port: u16) -> Result<Answer> {
    scan(from, target, [port])?
        .remove(&port)
        .context("the port was not probed")
}

/// Insists that a SYN is dropped, by ftpfw and for that reason.
///
/// # Errors
/// When it is answered or counted otherwise.
pub fn expect_dropped(
    firewall: &Firewall,
    from: &Host,
    target: IpAddr,
    port: u16,
    reason: &str,
) -> Result<()> {
    let before = firewall.stats()?.dropped(reason);
    let answer = probe(from, target, port)?;
    let after = firewall.stats()?;
    let who = from.netns.name();
    ensure!(
        answer == Answer::Silent,
        "a SYN of {who} to port {port} was answered: {answer:?}"
    );
    ensure!(
        after.dropped(reason) == before + 1,
        "a SYN of {who} to port {port} was dropped, but not as `{reason}`: {before} before, {after:?}"
    );
    Ok(())
}

/// Sends SYNs from one source port.
#[derive(Debug)]
pub(crate) struct Scanner {
    socket: OwnedFd,
    source: SocketAddr,
    target: IpAddr,
}

impl Scanner {
    /// In the namespace that the calling thread is in; the thread stays on one CPU from now on.
    pub(crate) fn new(source: IpAddr, target: IpAddr) -> Result<Self> {
        // A source port of its own for each scan: no answer to an earlier one is taken for ours, and
        // no TIME_WAIT is in the way. Below the ephemeral range, so the kernel uses none of them.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let port = 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000;

        let cpu = sched_getcpu();
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).context("stay on one CPU")?;

        let family = if source.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket_with(
            family,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        )
        .context("open a raw socket")?;
        set_socket_timeout(&socket, Timeout::Recv, Some(lost_after()))?;
        Ok(Self {
            socket,
            source: SocketAddr::new(source, port),
            target,
        })
    }

    /// One SYN to each port.
    pub(crate) fn scan(&self, ports: impl IntoIterator<Item = u16>) -> Result<Scan> {
        let ports: Vec<u16> = ports.into_iter().collect();
        let mut scan = Scan::default();
        // The first packet waits for the neighbour's hardware address; the queue for it is short.
        self.batch(&[], &mut scan)?;
        for batch in ports.chunks(BATCH) {
            self.batch(batch, &mut scan)?;
        }
        Ok(scan)
    }

    /// Sends a batch until its last SYN is answered.
    fn batch(&self, ports: &[u16], scan: &mut Scan) -> Result<()> {
        let deadline = Instant::now() + patience();
        while Instant::now() < deadline {
            for port in ports {
                scan.answers.entry(*port).or_insert(Answer::Silent);
                self.send_syn(*port)?;
                scan.syns += 1;
            }
            self.send_syn(SENTINEL)?;
            if self.receive_until_sentinel(&mut scan.answers)? {
                return Ok(());
            }
        }
        bail!(
            "{} does not answer on port {SENTINEL}, which is not protected",
            self.target
        )
    }

    fn send_syn(&self, port: u16) -> Result<()> {
        let mut tcp = TcpHeader::new(self.source.port(), port, 1, 64_240);
        tcp.syn = true;
        tcp.checksum = match (self.source.ip(), self.target) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                tcp.calc_checksum_ipv4_raw(from.octets(), to.octets(), &[])?
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                tcp.calc_checksum_ipv6_raw(from.octets(), to.octets(), &[])?
            }
            _ => bail!("{} and {} are of two families", self.source, self.target),
        };
        // A raw socket has no ports: the kernel wants a zero.
        let to = SocketAddr::new(self.target, 0);
        sendto(&self.socket, &tcp.to_bytes(), SendFlags::empty(), &to)
            .with_context(|| format!("send a SYN to {} port {port}", self.target))?;
        Ok(())
    }

    /// Notes answers until the one of the last SYN; whether that came.
    fn receive_until_sentinel(&self, answers: &mut BTreeMap<u16, Answer>) -> Result<bool> {
        let deadline = Instant::now() + lost_after();
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            let length = match recvfrom(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((length, _, _)) => length,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error).context("read the raw socket"),
            };
            match self.answer(&buffer[..length]) {
                Some((SENTINEL, _)) => return Ok(true),
                Some((port, answer)) => {
                    answers.insert(port, answer);
                }
                None => {}
            }
        }
        Ok(false)
    }

    /// Reads a packet of the raw socket, which hands out all TCP of the namespace.
    fn answer(&self, packet: &[u8]) -> Option<(u16, Answer)> {
        // Over IPv4 the IP header comes along, over IPv6 it does not.
        let tcp = if self.source.is_ipv4() {
            etherparse::Ipv4Slice::from_slice(packet)
                .ok()?
                .payload()
                .payload
        } else {
            packet
        };
        let (tcp, _) = TcpHeader::from_slice(tcp).ok()?;
        let answer = match (tcp.syn && tcp.ack, tcp.rst) {
            (true, _) => Answer::Open,
            (_, true) => Answer::Refused,
            _ => return None,
        };
        (tcp.destination_port == self.source.port()).then_some((tcp.source_port, answer))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::{Shutdown, shutdown};

    use super::*;
    use crate::lab::Lab;

    #[test]
    fn open_and_refused_are_told_apart_without_a_firewall() -> Result<()> {
        let lab = Lab::new()?;
        for family in [Family::V4, Family::V6] {
            let address = lab.server.address(family);
            let listener = lab
                .server
                .netns
                .run(|| TcpListener::bind((address, 40_000)))??;
            let answers = scan(&lab.client, address, 39_000..41_000)?;
            assert_eq!(answers.len(), 2000);
            for (port, answer) in answers {
                let right = if port == 40_000 {
                    Answer::Open
                } else {
                    Answer::Refused
                };
                assert_eq!(answer, right, "port {port}, {family:?}");
            }
            // Not `drop` alone: a process that another test just starts holds the listener too,
            // until it runs its program.
            shutdown(&listener, Shutdown::Both)?;
            assert_eq!(probe(&lab.client, address, 40_000)?, Answer::Refused);
        }
        Ok(())
    }

    #[test]
    fn silence_is_seen_without_waiting() -> Result<()> {
        let lab = Lab::new()?;
        let _listener = lab
            .server
            .netns
            .run(|| TcpListener::bind((lab.server.v4, 40_000)))??;
        // The kernel's routing rules can drop a port in silence: nothing of ftpfw is needed here.
        lab.server.netns.ip("rule add pref 10 lookup local\n\
             rule add pref 5 ipproto tcp dport 40000 blackhole\n\
             rule del pref 0")?;
        let begin = Instant::now();
        let answers = scan(&lab.client, lab.server.v4.into(), 39_999..=40_001)?;
        assert_eq!(answers[&39_999], Answer::Refused);
        assert_eq!(answers[&40_000], Answer::Silent);
        assert_eq!(answers[&40_001], Answer::Refused);
        assert!(begin.elapsed() < patience() / 4);
        Ok(())
    }
}
