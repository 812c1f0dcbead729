//! What is in the kernel: programs, maps, links, and how they get there and away.

mod adopt;
pub mod attach;
pub mod batch;
mod btf;
pub mod clients;
pub mod clock;
pub mod detach;
pub mod entries;
pub mod ethtool;
pub mod idle;
pub mod leftovers;
mod link;
pub mod lock;
mod mapped;
pub mod maps;
pub mod nic;
pub mod nics;
pub mod others;
pub mod pins;
pub mod ports;
mod programs;
pub mod requirements;
mod rollback;
pub mod sockets;
pub mod stack;
mod surplus;
mod syscall;
mod tc;
mod tracepoint;
pub mod trial;
pub mod tuples;
mod turned;
mod wire;
mod xdp;
pub mod xdp_features;

mod load;

pub use load::{Kernel, LoadOptions, MapSizes};
pub use maps::{Counters, Maps};
pub use pins::PinDir;
pub use programs::Programs;
pub use turned::Turned;
pub use wire::Wire;
