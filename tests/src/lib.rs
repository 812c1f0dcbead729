//! The laboratory: network namespaces with real FTP servers and clients, and ftpfw between them.
//!
//! Used by the integration tests in `tests/` and by `cargo xtask demo`. Everything here needs
//! root, touches only namespaces of its own and removes them on every path.

pub mod armed;
pub mod cgroup;
pub mod client;
pub mod config_file;
pub mod container;
pub mod control;
pub mod descriptors;
pub mod early;
pub mod exchange;
pub mod firewall;
pub mod flood;
pub mod generator;
pub mod ghost;
pub mod haunt;
pub mod lab;
pub mod load;
pub mod matrix;
pub mod mounts;
pub mod netns;
pub mod nftables;
pub mod nics;
pub mod nobody;
pub mod packets;
pub mod patient;
pub mod place;
pub mod probe;
pub mod programs;
pub mod quirky;
pub mod random;
pub mod refusal;
pub mod reply;
pub mod report;
pub mod scene;
pub mod scripted;
pub mod secret;
pub mod server;
pub mod service;
pub mod sockets;
pub mod tls;
pub mod transcript;
pub mod wait;
pub mod wire;
