//! Records of the ring buffer, in batches.

use std::{io, time::Duration};

use anyhow::Context as _;
use aya::maps::{MapData, RingBuf};
use bytes::{Buf as _, Bytes};
use ftpfw_common::abi::event::{EventHeader, SECOND_LOOK};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};
use zerocopy::FromBytes as _;

/// Records taken out at once; between batches, others have their turn.
const BATCH: usize = 512;

/// What the programs had to tell.
#[derive(Clone, Debug)]
pub struct Record {
    /// What happened, when, and to which session.
    pub header: EventHeader,
    /// The bytes behind the header: control bytes, for `Payload`.
    pub payload: Bytes,
}

impl Record {
    /// Reads a record; `None` when it is shorter than its header says.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let (header, _) = EventHeader::read_from_prefix(&bytes).ok()?;
        bytes.advance(size_of::<EventHeader>());
        let length = usize::from(header.length);
        // The programs reserve records of a fixed size: what follows the payload is not part of it.
        (length <= bytes.len()).then(|| Self {
            header,
            payload: bytes.split_to(length),
        })
    }
}

/// The ring buffer `EVENTS`.
pub struct EventStream {
    ring: AsyncFd<RingBuf<MapData>>,
    /// Something may come, or have come, without a word.
    expecting: bool,
    second_look: Instant,
}

impl EventStream {
    /// Reads from `ring`; to be called inside the runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch the descriptor.
    pub fn new(ring: RingBuf<MapData>) -> anyhow::Result<Self> {
        // SAFETY: the ring buffer owns the descriptor of its map, always the same, and closes it when
        // it is dropped: with the AsyncFd.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map_err(io::Error::from)
            .context("cannot watch the ring buffer EVENTS")?;
        Ok(Self {
            ring,
            expecting: true,
            second_look: Instant::now(),
        })
    }

    /// Waits until there is something to tell, and returns it: at least one record, unless those
    /// that came were unreadable or taken by [`Self::ready`]. Cancelling it loses nothing.
    ///
    /// # Errors
    ///
    /// When the runtime cannot wait any more.
    pub async fn batch(&mut self) -> anyhow::Result<Vec<Record>> {
        loop {
            tokio::select! {
                guard = self.ring.readable_mut() => {
                    let mut guard = guard?;
                    let (records, emptied) = take(guard.get_inner_mut());
                    if emptied {
                        guard.clear_ready();
                    }
                    self.look_again();
                    return Ok(records);
                }
                () = sleep_until(self.second_look), if self.expecting => {
                    let (records, _) = take(self.ring.get_mut());
                    self.expecting = !records.is_empty();
                    if self.expecting {
                        self.look_again();
                        return Ok(records);
                    }
                }
            }
        }
    }

    /// The programs do not wake the agent for all that they tell; see [`SECOND_LOOK`].
    fn look_again(&mut self) {
        self.expecting = true;
        self.second_look = Instant::now() + Duration::from_nanos(SECOND_LOOK);
    }

    /// What there is to tell at this moment: nothing, perhaps.
    pub fn ready(&mut self) -> Vec<Record> {
        take(self.ring.get_mut()).0
    }
}

/// Takes a batch out of the ring buffer. Whether nothing is left in it.
fn take(ring: &mut RingBuf<MapData>) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    for _ in 0..BATCH {
        let Some(item) = ring.next() else {
            return (records, true);
        };
        match Record::decode(Bytes::copy_from_slice(&item)) {
            Some(record) => records.push(record),
            None => tracing::error!("a record of {} bytes is none of this ftpfw's", item.len()),
        }
    }
    (records, false)
}

#[cfg(test)]
mod tests {
    use ftpfw_common::abi::event::Kind;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn header(length: u16) -> EventHeader {
        EventHeader {
            kind: Kind::Payload as u16,
            length,
            ..EventHeader::new_zeroed()
        }
    }

    #[test]
    fn decodes_a_record_and_leaves_out_what_follows_it() {
        let mut bytes = header(3).as_bytes().to_vec();
        bytes.extend(b"abcdef");
        let record = Record::decode(bytes.into()).expect("long enough");
        assert_eq!(record.header, header(3));
        assert_eq!(record.payload, "abc");
    }

    #[test]
    fn refuses_what_is_cut_off() {
        let whole = header(3);
        for length in 0..size_of::<EventHeader>() + 3 {
            let mut bytes = whole.as_bytes().to_vec();
            bytes.extend(b"abc");
            bytes.truncate(length);
            assert!(Record::decode(bytes.into()).is_none(), "{length}");
        }
    }
}
