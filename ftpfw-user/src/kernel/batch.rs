//! Reading a whole hash map in little memory.
//!
//! `BPF_MAP_LOOKUP_BATCH` (Linux 5.6) goes from bucket to bucket: what is removed meanwhile does not
//! send it back to the beginning, as it does an iteration by keys, so no entry comes twice and none
//! need be remembered.

use std::{
    fmt, io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, ensure};
use aya::{Pod, maps::MapData};
use nix::libc::c_int;

use super::syscall::bpf;

/// `enum bpf_cmd` of `linux/bpf.h`.
const BPF_MAP_LOOKUP_BATCH: c_int = 24;
/// Entries asked for at once. A bucket must fit; with no more entries than buckets few hold ten.
const ROOM: usize = 256;

/// The member `batch` of `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The entries of a hash map, each once; those that come or go meanwhile may or may not be among them.
pub struct Entries<K, V> {
    map: OwnedFd,
    /// Where to go on; `None` at the beginning.
    position: Option<u32>,
    /// The last batch was read.
    ended: bool,
    keys: Vec<K>,
    values: Vec<V>,
    room: usize,
}

impl<K, V> fmt::Debug for Entries<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("map", &self.map)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<K: Pod, V: Pod> Entries<K, V> {
    /// The entries of `map`, a hash map of `K` and `V`.
    ///
    /// # Errors
    ///
    /// When its keys or values have another size.
    pub(super) fn new(map: &MapData) -> anyhow::Result<Self> {
        let info = map.info().context("cannot look at a map")?;
        let sizes = (info.key_size() as usize, info.value_size() as usize);
        ensure!(
            sizes == (size_of::<K>(), size_of::<V>()),
            "a map has another layout than this ftpfw"
        );
        Ok(Self {
            map: map.fd().as_fd().try_clone_to_owned()?,
            position: None,
            ended: false,
            keys: Vec::new(),
            values: Vec::new(),
            room: ROOM,
        })
    }

    /// Reads the next batch, where there is one.
    fn read(&mut self) -> io::Result<()> {
        self.keys.reserve(self.room);
        self.values.reserve(self.room);
        let from = self.position;
        let mut next = 0_u32;
        let mut attributes = Attributes {
            in_batch: from
                .as_ref()
                .map_or(0, |from| std::ptr::from_ref(from) as u64),
            out_batch: (&raw mut next) as u64,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: u32::try_from(self.room).unwrap_or(u32::MAX),
            map_fd: self.map.as_raw_fd().cast_unsigned(),
            ..Attributes::default()
        };
        // SAFETY: the structure is the one that the command takes; the kernel reads `in_batch` and
        // writes `out_batch`, a u32 each for a hash map, and at most `count` keys and values, for which
        // both vectors have room, of the sizes that `new` has checked.
        let result = unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attributes) };
        if let Err(error) = result {
            match error.raw_os_error() {
                Some(nix::libc::ENOENT) => self.ended = true,
                // A bucket holds more than there is room for.
                Some(nix::libc::ENOSPC) => self.room *= 2,
                _ => return Err(error),
            }
        }
        self.position = Some(next);
        let count = (attributes.count as usize).min(self.room);
        // SAFETY: the kernel has written so many of each, and any bytes are a `Pod`.
        unsafe {
            self.keys.set_len(count);
            self.values.set_len(count);
        }
        Ok(())
    }
}

impl<K: Pod, V: Pod> Iterator for Entries<K, V> {
    type Item = io::Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (Some(key), Some(value)) = (self.keys.pop(), self.values.pop()) {
                return Some(Ok((key, value)));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}
