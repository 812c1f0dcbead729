//! Packets at the kernel's full rate: frames that an XDP program varies and sends, run by
//! BPF_PROG_TEST_RUN (`ftpfw-ebpf/src/bin/bench.rs`). Whatever takes them works on the same CPU.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray, PerCpuValues};
use aya::programs::{SocketFilter, TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use ftpfw_common::abi::bench::Traffic;

use crate::ghost::{Segment, with_checksum};
use crate::netns::Netns;
use crate::packets;
use crate::programs;

const FIELDS: usize = size_of::<Traffic>() / size_of::<u32>();

/// Frames between two looks of the receiver at its queue, which holds 256.
const BATCH: u32 = 64;

/// A program that does one thing with every packet: what filters are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Drops without a look.
    Drop,
    /// Asks the kernel for the packet's socket, and drops.
    LookUp,
    /// Lets through without a look.
    Pass,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Drop, Self::LookUp, Self::Pass];

    /// Of the program.
    const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::LookUp => "look_up",
            Self::Pass => "pass",
        }
    }
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// TCP's flags, as tcpdump writes them; `None` for UDP.
    pub flags: Option<&'static str>,
    /// Destination ports.
    pub ports: RangeInclusive<u16>,
    /// The first sender's address.
    pub first_sender: Ipv4Addr,
    /// Senders, whose addresses differ in their lower halves only.
    pub senders: u32,
    /// Source ports.
    pub sources: RangeInclusive<u16>,
    /// Bytes of a frame, at least 60.
    pub length: usize,
}

impl Load {
    /// The shortest frames from anybody: 65,536 addresses of 10.200.0.0/16.
    #[must_use]
    pub const fn flood(flags: Option<&'static str>, ports: RangeInclusive<u16>) -> Self {
        Self {
            flags,
            ports,
            first_sender: Ipv4Addr::new(10, 200, 0, 0),
            senders: 1 << 16,
            sources: 1024..=u16::MAX,
            length: 60,
        }
    }

    fn traffic(&self, interface: u32) -> Traffic {
        let [_, _, high, low] = self.first_sender.octets();
        let count = |ports: &RangeInclusive<u16>| u32::from(ports.end() - ports.start()) + 1;
        Traffic {
            interface,
            first_port: u32::from(*self.ports.start()),
            ports: count(&self.ports),
            is_tcp: u32::from(self.flags.is_some()),
            first_sender: u32::from(u16::from_be_bytes([high, low])),
            senders: self.senders,
            first_source: u32::from(*self.sources.start()),
            sources: count(&self.sources),
        }
    }
}

/// The generator, and what filters are held against.
pub struct Generator {
    object: Ebpf,
    /// A [`Traffic`], field by field.
    traffic: Array<MapData, [u32; FIELDS]>,
    dropped: PerCpuArray<MapData, u64>,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

impl Generator {
    /// Loads it.
    ///
    /// # Errors
    /// When it has not been built, or the kernel refuses it.
    pub fn load() -> Result<Self> {
        let path = object()?;
        let mut object = Ebpf::load_file(&path).with_context(|| path.display().to_string())?;
        for name in ["generate"].into_iter().chain(Limit::ALL.map(Limit::name)) {
            xdp(&mut object, name)?.load()?;
        }
        swallow(&mut object)?.load()?;
        let map = |object: &mut Ebpf, name: &str| {
            let map = object.take_map(name);
            map.with_context(|| format!("the object has no map {name}"))
        };
        let traffic = map(&mut object, "TRAFFIC")?.try_into()?;
        let dropped = map(&mut object, "DROPPED")?.try_into()?;
        let mut random: PerCpuArray<_, u64> = map(&mut object, "RANDOM")?.try_into()?;
        let seeds = (0..aya::util::nr_cpus().map_err(|(_, error)| error)? as u64)
            .map(|cpu| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(cpu + 1));
        random.set(0, PerCpuValues::try_from(seeds.collect::<Vec<_>>())?, 0)?;
        Ok(Self {
            object,
            traffic,
            dropped,
        })
    }

    /// Attaches a limit to `eth0` of a namespace, in the driver, until this is dropped.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn attach(&mut self, limit: Limit, netns: &Netns) -> Result<()> {
        let program = xdp(&mut self.object, limit.name())?;
        netns.run(|| program.attach("eth0", XdpMode::Driver))??;
        Ok(())
    }

    /// Has these sockets throw away what comes for them, as long as this is there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn swallow<'a>(&mut self, sockets: impl IntoIterator<Item = &'a TcpStream>) -> Result<()> {
        let program = swallow(&mut self.object)?;
        for socket in sockets {
            program.attach(socket)?;
        }
        Ok(())
    }

    /// Packets that its limits have dropped.
    ///
    /// # Errors
    /// Those of the map.
    pub fn dropped(&self) -> Result<u64> {
        Ok(self.dropped.get(&0, 0)?.iter().sum())
    }

    /// Sends `count` frames to `to` from interface `interface` of `from`; the time for one, all work
    /// that the receiver did on this CPU included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(
        &mut self,
        from: &Netns,
        interface: u32,
        to: Ipv4Addr,
        load: &Load,
        count: u32,
    ) -> Result<Duration> {
        let traffic: [u32; FIELDS] = zerocopy::transmute!(load.traffic(interface));
        self.traffic.set(0, traffic, 0)?;
        let frame = frame(to, load);
        let program = xdp(&mut self.object, "generate")?;
        let options = || TestRunOptions {
            data_in: Some(&frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        let result = from.run(|| program.test_run(options()))??;
        Ok(result.duration)
    }
}

/// The frame before it is varied: what will vary is 0, and the checksums are right for that.
fn frame(to: Ipv4Addr, load: &Load) -> Vec<u8> {
    const UDP_CHECKSUM: usize = packets::ETHERNET + packets::IPV4 + 6;
    // An Ethernet frame without its checksum; of TCP over IPv4, 6 bytes of it are padding.
    const SHORTEST: usize = 60;
    let [a, b, ..] = load.first_sender.octets();
    let from = SocketAddr::from((Ipv4Addr::new(a, b, 0, 0), 0));
    let to = SocketAddr::from((to, 0));
    let payload = vec![0; load.length - SHORTEST];
    let mut frame = match load.flags {
        Some(flags) => Segment {
            flags,
            sequence: 0,
            acknowledgment: u32::from(flags.contains('A')),
            window: u16::MAX,
            options: b"",
            payload: &payload,
        }
        .frame(from, to),
        None => with_checksum(packets::with_u16(
            packets::udp(from, to, &[0; 12]),
            UDP_CHECKSUM,
            0,
        )),
    };
    frame.resize(load.length, 0);
    frame
}

fn xdp<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object.program_mut(name);
    let program = program.with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

fn swallow(object: &mut Ebpf) -> Result<&mut SocketFilter> {
    let program = object.program_mut("swallow");
    let program = program.context("the object has no program swallow")?;
    Ok(program.try_into()?)
}

/// Beside the object that is built into ftpfw.
fn object() -> Result<PathBuf> {
    let target = if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    let directory = programs::target_directory().context("there is a target directory")?;
    Ok(directory
        .join("ebpf")
        .join(target)
        .join("release/ftpfw-bench"))
}
