//! Packets at whatever rate the generator makes, from addresses of nobody.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anyhow::Result;

use crate::ghost::with_checksum;
use crate::lab::Lab;
use crate::packets;
use crate::random::Random;
use crate::wire::Wire;

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// SYNs.
    Syn,
    /// ACKs of connections that do not exist.
    Ack,
    /// Datagrams that nobody asked for.
    Udp,
}

impl Flood {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Syn, Self::Ack, Self::Udp];
    /// Different frames, sent over and over.
    const FRAMES: usize = 1024;

    /// Sends frames from the stranger's cable to protected ports of the server, until it is over; each
    /// is counted.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn pour(self, lab: &Lab, over: &AtomicBool, sent: &AtomicU64) -> Result<()> {
        let wire = Wire::new(lab, &lab.stranger)?;
        let mut random = Random::new(self as u64);
        let frames: Vec<_> = (0..Self::FRAMES)
            .map(|_| self.frame(lab, &mut random))
            .collect();
        for frame in frames.iter().cycle() {
            if over.load(Relaxed) {
                break;
            }
            wire.send(&lab.server, frame.clone())?;
            sent.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn frame(self, lab: &Lab, random: &mut Random) -> Vec<u8> {
        // A network for tests (RFC 2544): nobody's in the laboratory.
        let from = Ipv4Addr::new(198, 18, random.byte(), random.byte());
        let any = |random: &mut Random, address: IpAddr| {
            let port = 1024 + u16::try_from(random.below(64_000)).expect("less");
            SocketAddr::new(address, port)
        };
        let from = any(random, from.into());
        let to = any(random, lab.server.v4.into());
        with_checksum(match self {
            Self::Syn => packets::tcp(from, to, "S", b""),
            Self::Ack => packets::tcp(from, to, "A", b""),
            Self::Udp => packets::udp(from, to, b"flood"),
        })
    }
}
