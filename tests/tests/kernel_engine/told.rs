//! What the follower tells of a segment, in the kernel and in the model.

use anyhow::{Context as _, Result};
use ftpfw_common::{
    abi::{
        event::{Cause, Direction, EventHeader, Kind, opened},
        values::Mode,
    },
    reason::{Negotiation, Reason, Refusal},
};
use zerocopy::FromBytes as _;

/// One event; the words are those of [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Opened {
        adopted: bool,
    },
    Payload {
        direction: Direction,
        sequence: u32,
        bytes: String,
    },
    Gap {
        direction: Direction,
        sequence: u32,
    },
    Rewound {
        sequence: u32,
    },
    Armed {
        mode: Mode,
        port: u16,
        by: Negotiation,
    },
    Withdrawn {
        mode: Mode,
        port: u16,
        cause: Cause,
    },
    Refused {
        refusal: Refusal,
        port: u16,
    },
    Opaque,
    Plain,
    /// Not from the ring buffer: the program's verdict.
    Dropped(Reason),
}

impl Told {
    pub fn payload(direction: Direction, sequence: u32, bytes: &[u8]) -> Self {
        Self::Payload {
            direction,
            sequence,
            bytes: bytes.escape_ascii().to_string(),
        }
    }

    /// Reads a record of the ring buffer; `None` for one that tells of no conclusion: what the
    /// programs say of copies is for the agent.
    pub fn read(record: &[u8]) -> Result<Option<Self>> {
        let (header, rest) = EventHeader::read_from_prefix(record)
            .ok()
            .context("a record without a header")?;
        let direction = Direction::from_u8(header.direction);
        let (port, sequence) = (header.port, header.sequence);
        let mode = || Mode::from_u8(header.detail).context("no mode");
        Ok(Some(match Kind::from_u16(header.kind) {
            Some(Kind::Opened) => Self::Opened {
                adopted: header.number & opened::ADOPTED != 0,
            },
            Some(Kind::Payload) => {
                Self::payload(direction, sequence, &rest[..usize::from(header.length)])
            }
            Some(Kind::Gap) => Self::Gap {
                direction,
                sequence,
            },
            Some(Kind::Rewound) => Self::Rewound { sequence },
            Some(Kind::Armed) => Self::Armed {
                mode: mode()?,
                port,
                by: Negotiation::from_u32(header.number).context("no negotiation")?,
            },
            Some(Kind::Withdrawn) => Self::Withdrawn {
                mode: mode()?,
                port,
                cause: Cause::from_u32(header.number).context("no cause")?,
            },
            Some(Kind::Refused) => Self::Refused {
                refusal: Refusal::from_u32(header.number).context("no refusal")?,
                port,
            },
            Some(Kind::Opaque) => Self::Opaque,
            Some(Kind::Plain) => Self::Plain,
            _ => return Ok(None),
        }))
    }
}
