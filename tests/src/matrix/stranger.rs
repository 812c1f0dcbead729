//! Somebody else, who dials wherever the client and the server do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use crate::lab::{Family, Host, Lab};
use crate::probe::{Answer, Scanner};
use crate::wire::Wire;

/// Headers of Ethernet, IP and TCP without what nobody asks for here.
const HEADERS: usize = 128;
/// How long no frame comes before the watch looks whether it is over.
const MOMENT: Duration = Duration::from_millis(5);
/// Below it are the control ports, and nothing that is protected.
const FIRST_PROTECTED: u16 = 1024;

/// A port, and what a stranger got there.
pub type Probed = (u16, Answer);

/// Does `work`, and has the stranger dial the server at every port at which a data connection begins,
/// as soon as its first SYN passes the client's NIC.
///
/// # Errors
/// When the stranger cannot probe.
pub fn meanwhile<T>(
    lab: &Lab,
    server: IpAddr,
    work: impl FnOnce() -> T,
) -> Result<(T, Vec<Probed>)> {
    let tap = Wire::tap(&lab.client)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let stranger = &lab.stranger;
            stranger
                .netns
                .run(|| watch(&tap, stranger, server, &over))?
        });
        let done = work();
        over.store(true, SeqCst);
        let probed = watching.join().expect("no panic");
        Ok((done, probed.context("dial as a stranger")?))
    })
}

/// Until it is over, and then what is left to be read.
fn watch(tap: &Wire, stranger: &Host, server: IpAddr, over: &AtomicBool) -> Result<Vec<Probed>> {
    let scanner = Scanner::new(stranger.address(Family::of(server)), server)?;
    let mut room = [0; HEADERS];
    let (mut seen, mut probed) = (BTreeSet::new(), Vec::new());
    loop {
        // Before the frames: all that the work has sent are there once it is over.
        let last = over.load(SeqCst);
        while let Some(frame) = tap.glance(&mut room, MOMENT)? {
            let Some(port) = data_port(frame, server) else {
                continue;
            };
            if seen.insert(port) {
                probed.extend(scanner.scan([port])?.answers);
            }
        }
        if last {
            return Ok(probed);
        }
    }
}

/// Of the first segment of a data connection: the port of the server's end; where that is not
/// protected (20), the number of the client's.
fn data_port(frame: &[u8], server: IpAddr) -> Option<u16> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let source: IpAddr = match packet.net? {
        LaxNetSlice::Ipv4(ip) => ip.header().source_addr().into(),
        LaxNetSlice::Ipv6(ip) => ip.header().source_addr().into(),
        LaxNetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        return None;
    };
    if !tcp.syn() || tcp.ack() {
        return None;
    }
    let (near, far) = match source == server {
        true => (tcp.source_port(), tcp.destination_port()),
        false => (tcp.destination_port(), tcp.source_port()),
    };
    match (near >= FIRST_PROTECTED, source == server) {
        (true, _) => Some(near),
        (false, true) => Some(far),
        // A control connection.
        (false, false) => None,
    }
}
