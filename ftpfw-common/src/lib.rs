//! What ftpfw knows about packets, FTP and its own maps: one code for the kernel and the host.
//!
//! * [`packet`]: bytes of a frame → headers, generic over a [`packet::Cursor`];
//! * [`filter`]: headers and the state of the maps → a [`reason::Reason`], which is the verdict;
//! * [`stream`]: TCP segments of one direction → bytes, each once and in order;
//! * [`control`]: bytes of a control connection → commands, replies, and what they allow;
//! * [`abi`]: the layouts of map entries and ring-buffer records.
//!
//! The crate is `no_std`, allocates nothing and holds no `unsafe`: the BPF programs, the agent,
//! `ftpfw replay`, the tests and the fuzzers all run exactly this code.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod abi;
pub mod address;
pub mod control;
pub mod filter;
pub mod packet;
pub mod reason;
pub mod stream;

pub use address::Address;
