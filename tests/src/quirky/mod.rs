//! An FTP server that does, on request, what real ones do rarely; real clients talk to it.
//!
//! It says and does what transcripts say ([`crate::transcript`]), those in `tests/quirks`: `ordinary.txt`
//! is a whole server, every other file a quirk of it. A `C` line with what follows, up to the next
//! one, is an *exchange*: to a command with that verb the server answers so. Where the quirk has no
//! exchange for a verb, the one in `ordinary.txt` counts. An exchange that stands there twice is for the
//! first and for the second time; the last one goes on.
//!
//! Whatever an exchange is said to come to (`! arm passive 50000 pasv`) is checked on the spot by a
//! [`Guard`], while the client is stopped: the tuple is there, and a stranger's SYN is dropped.

mod act;
mod data;
mod guard;
mod script;
mod server;
mod session;
mod visitor;

pub use act::Act;
pub use guard::Guard;
pub use script::Script;
pub use server::{CONTENT_SIZE, Quirky, content};
pub use visitor::Visitor;
