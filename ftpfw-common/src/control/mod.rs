//! The control-connection engine: bytes → lines → commands and replies → what they allow.
//!
//! Byte at a time, without buffers, so that the kernel can run it under `bpf_loop` with its state
//! in a map value, and so that it cannot matter how TCP cut the stream. DESIGN §5.
//!
//! * [`ClientSide::byte`] takes what the client sends (TC ingress, the agent, replay);
//! * [`ServerSide::byte`] takes what the server sends (TC egress, the agent, replay);
//! * [`Shared`] is all that the two have in common, and atomic: they run on different CPUs.

mod client;
mod command;
#[cfg(not(target_arch = "bpf"))]
mod dialogue;
mod eprt;
mod extended;
mod fifo;
mod line;
mod numbers;
mod records;
mod reply;
mod server;
mod shared;
mod telnet;
mod word;

pub use client::{ClientEvent, ClientSide, Rewound};
pub use command::Kind;
#[cfg(not(target_arch = "bpf"))]
pub use dialogue::{Conclusion, Dialogue};
pub use server::{ServerEvent, ServerSide};
pub use shared::{Shared, State};

/// Lowest port that a negotiation may name (RFC 2577 §3; IANA's well-known ports end at 1023).
pub const LOWEST_PORT: u16 = 1024;
