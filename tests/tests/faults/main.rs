//! What must not stop the firewall, and what must not open it: crashes, restarts, upgrades, an agent
//! that stands still, interfaces, pins and sockets that change under it, floods.
//!
//! `FTPFW_TRANSFERS=500` makes the run of transfers under faults as long as that, `FTPFW_SEED` brings
//! one back; `FTPFW_SECONDS=30` lets the agent stand still for so long.

mod adoption;
mod detach;
mod floods;
mod interfaces;
mod log;
mod many;
mod modules;
mod pins;
mod places;
mod refused;
mod session;
mod stopped;
mod transfers;
mod unmounted;
mod untold;
mod watch;
