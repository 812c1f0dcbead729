//! Frames of a capture file, pcap or pcapng, each with its time.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError,
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

use super::link::{Link, Unsupported};

const BUFFER: usize = 1 << 18;
/// libpcap's `MAXIMUM_SNAPLEN` for any link, 128 MiB for D-Bus, is beyond reason for a network; no
/// record of a sound capture is near this.
const LARGEST_RECORD: usize = 1 << 24;
const NANOSECOND: u64 = 1_000_000_000;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured, ns since 1970; `None` in a pcapng simple packet block.
    pub at: Option<u64>,
    /// Its bytes from the Ethernet header on, as long as on the wire: what was not captured is 0.
    pub bytes: &'a [u8],
    /// How many of `bytes` were captured.
    pub captured: usize,
}

/// A capture file that can be read any number of times.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
}

/// An interface of the file: what its frames begin with, and what a unit of time is.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Result<Link, Unsupported>,
    units_per_second: u64,
    offset_seconds: i64,
}

impl Capture {
    /// A capture at `path`.
    ///
    /// # Errors
    ///
    /// When it is no file that can be read twice.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let metadata =
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !metadata.is_file() {
            bail!(
                "{} is not a regular file: a capture is read twice, save it to a file first",
                path.display()
            );
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Calls `take` with each frame, in the order of the file.
    ///
    /// # Errors
    ///
    /// One sentence with the file's name and what is wrong with it.
    pub fn frames(&self, mut take: impl FnMut(Frame<'_>)) -> anyhow::Result<()> {
        let name = self.path.display();
        let file = File::open(&self.path).with_context(|| format!("cannot read {name}"))?;
        let mut reader = match pcap_parser::create_reader(BUFFER, file) {
            Ok(reader) => reader,
            Err(PcapError::Eof) => bail!("{name} is empty: it is not a capture"),
            Err(PcapError::Incomplete(_)) => bail!("{name} is cut off inside its file header"),
            Err(PcapError::ReadError) => bail!("{name} cannot be read"),
            Err(_) => {
                bail!("{name} is neither pcap nor pcapng: its first bytes are no file header")
            }
        };
        let mut state = Reading::default();
        loop {
            let consumed = match reader.next() {
                Ok((length, block)) => {
                    state
                        .block(&block, &mut take)
                        .map_err(|error| anyhow::anyhow!("{name}{error}"))?;
                    length
                }
                Err(PcapError::Eof) => break,
                Err(error) => {
                    let error = Trouble::of(&error);
                    more(reader.as_mut(), error).map_err(|why| {
                        anyhow::anyhow!("{name} {why} after {} packets", state.packets)
                    })?;
                    continue;
                }
            };
            reader.consume(consumed);
        }
        Ok(())
    }
}

/// What a reader may ask for, free of the buffer that it borrows.
#[derive(Clone, Copy)]
enum Trouble {
    MoreInput,
    MoreRoom,
    CutOff,
    Unreadable,
    Damaged,
}

impl Trouble {
    fn of<T>(error: &PcapError<T>) -> Self {
        match error {
            PcapError::Incomplete(_) => Self::MoreInput,
            PcapError::BufferTooSmall => Self::MoreRoom,
            PcapError::UnexpectedEof => Self::CutOff,
            PcapError::ReadError => Self::Unreadable,
            _ => Self::Damaged,
        }
    }
}

/// Gives the reader more to read, or says why there is no more.
fn more(reader: &mut dyn PcapReaderIterator, trouble: Trouble) -> Result<(), &'static str> {
    const CUT_OFF: &str = "is cut off: it ends in the middle of a packet";
    const DAMAGED: &str = "is damaged: what should be a packet is none,";
    match trouble {
        Trouble::MoreInput => {
            let before = reader.data().len();
            reader.refill().map_err(|_| "cannot be read any further")?;
            // At the end of the file the reader itself finds that out; a full buffer it does not.
            if reader.data().len() == before && !reader.reader_exhausted() {
                return grow(reader);
            }
            Ok(())
        }
        Trouble::MoreRoom => grow(reader),
        Trouble::CutOff => Err(CUT_OFF),
        Trouble::Unreadable => Err("cannot be read any further"),
        Trouble::Damaged => Err(DAMAGED),
    }
}

fn grow(reader: &mut dyn PcapReaderIterator) -> Result<(), &'static str> {
    const TOO_LARGE: &str = "is damaged: a packet claims to be larger than 16 MB";
    let larger = reader.data().len().max(BUFFER) * 2;
    if larger > LARGEST_RECORD || !reader.grow(larger) {
        return Err(TOO_LARGE);
    }
    reader.refill().map_err(|_| "cannot be read any further")
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    interfaces: Vec<Interface>,
    packets: u64,
    frame: Vec<u8>,
}

impl Reading {
    fn block(
        &mut self,
        block: &PcapBlockOwned<'_>,
        take: &mut impl FnMut(Frame<'_>),
    ) -> Result<(), Fault> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let units = if header.is_nanosecond_precision() {
                    NANOSECOND
                } else {
                    1_000_000
                };
                // The upper bits tell of a frame check sequence; an IP length leaves it out anyway.
                let link = Linktype(header.network.0 & 0xffff);
                self.interface(link, units, 0);
                // Every packet of the file is of this link.
                self.interfaces[0].link.map(drop).map_err(Fault::Link)
            }
            PcapBlockOwned::Legacy(packet) => {
                let at = |it: &Interface| {
                    let part = u64::from(packet.ts_usec) * (NANOSECOND / it.units_per_second);
                    u64::from(packet.ts_sec) * NANOSECOND + part
                };
                let at = self.interfaces.first().map(at);
                self.packet(0, at, packet.data, packet.origlen, take)
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                Ok(())
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(it)) => {
                let units = it.ts_resolution().unwrap_or(1_000_000);
                self.interface(it.linktype, units, it.ts_offset());
                Ok(())
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let index = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let at = self.interfaces.get(index).map(|it| it.nanoseconds(units));
                self.packet(index, at, packet.packet_data(), packet.origlen, take)
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                self.packet(0, None, packet.packet_data(), packet.origlen, take)
            }
            PcapBlockOwned::NG(_) => Ok(()),
        }
    }

    fn interface(&mut self, link: Linktype, units_per_second: u64, offset_seconds: i64) {
        self.interfaces.push(Interface {
            link: Link::of(link),
            units_per_second: units_per_second.max(1),
            offset_seconds,
        });
    }

    fn packet(
        &mut self,
        interface: usize,
        at: Option<u64>,
        data: &[u8],
        length: u32,
        take: &mut impl FnMut(Frame<'_>),
    ) -> Result<(), Fault> {
        self.packets += 1;
        let Some(interface) = self.interfaces.get(interface) else {
            return Err(Fault::NoInterface(self.packets));
        };
        let link = interface.link.map_err(Fault::Link)?;
        link.ethernet(data, &mut self.frame);
        let captured = self.frame.len();
        let missing = (length as usize).saturating_sub(data.len());
        self.frame.resize(captured + missing.min(LARGEST_RECORD), 0);
        take(Frame {
            at,
            bytes: &self.frame,
            captured,
        });
        Ok(())
    }
}

impl Interface {
    /// Units of this interface's clock as ns since 1970.
    fn nanoseconds(&self, units: u64) -> u64 {
        let ns = u128::from(units) * u128::from(NANOSECOND) / u128::from(self.units_per_second);
        let offset = i128::from(self.offset_seconds) * i128::from(NANOSECOND);
        let shifted = i128::try_from(ns)
            .unwrap_or(i128::MAX)
            .saturating_add(offset);
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

/// What is wrong with a block; to be read behind the file's name.
#[derive(Debug)]
enum Fault {
    Link(Unsupported),
    NoInterface(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, " {link}"),
            Self::NoInterface(packet) => write!(
                f,
                " is damaged: packet {packet} is of an interface that the file does not describe"
            ),
        }
    }
}
