//! FTPS: transfers whose negotiation nobody on the way can read, and who is let in by them: the
//! client of the session, once, and nobody else.
//!
//! `FTPFW_FULL=1` runs every cell of the matrix and not a part of it; `FTPFW_TRANSFERS=1000` makes
//! the loop as long as that.

mod baseline;
mod ccc;
mod endurance;
mod matrix;
mod narrow;
mod one_listener;
mod others;
mod policies;
mod service;
mod super_server;
mod table;
mod tally;
