//! `ftpfw replay` over captures of real servers and clients, and over files that are none.
//!
//! * `table`: every capture comes to what `captures.tsv` says;
//! * `formats`: the same packets in another file format or link layer come to the same;
//! * `order`: what is lost, late or doubled on the way;
//! * `files`: what is no capture, on the real binary.

mod files;
mod formats;
mod order;
mod packets;
mod table;
