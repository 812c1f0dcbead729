//! Which processes hold which TCP sockets, by what `/proc` says.

use std::{collections::HashSet, path::PathBuf};

use ftpfw_common::{Address, abi::keys::SessionKey};
use procfs::{
    Current as _,
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process},
};

/// systemd or init: it may hold a control port's listener for a daemon, and is none itself.
pub const INIT: i32 = 1;

/// Programs that listen for others: what they start is not theirs.
const SUPER_SERVERS: [&str; 6] = [
    "systemd",
    "systemd-socket-activate",
    "inetd",
    "xinetd",
    "inetutils-inetd",
    "tcpserver",
];

/// All TCP sockets of this network namespace that are local to one of these ports.
pub fn sockets(ports: &[u16]) -> impl Iterator<Item = TcpNetEntry> + '_ {
    all().filter(|socket| ports.contains(&socket.local_address.port()))
}

fn all() -> impl Iterator<Item = TcpNetEntry> {
    [procfs::net::tcp(), procfs::net::tcp6()]
        .into_iter()
        .flatten()
        .flatten()
}

/// Whether a process was started in the last seconds.
#[must_use]
pub fn is_new(process: &Process) -> bool {
    const SECONDS: f64 = 5.0;
    let (Ok(stat), Ok(uptime)) = (process.stat(), procfs::Uptime::current()) else {
        return false;
    };
    // Ticks since the boot; far fewer than a double holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let started = stat.starttime as f64 / procfs::ticks_per_second() as f64;
    uptime.uptime - started < SECONDS
}

/// All TCP sockets of this network namespace that listen.
pub fn listening() -> impl Iterator<Item = TcpNetEntry> {
    all().filter(listens)
}

/// Whether a socket listens.
#[must_use]
pub fn listens(socket: &TcpNetEntry) -> bool {
    socket.state == TcpState::Listen
}

/// The control connection that a socket is the server's end of.
#[must_use]
pub fn session_of(socket: &TcpNetEntry) -> SessionKey {
    SessionKey {
        client: Address::from(socket.remote_address.ip()),
        server: Address::from(socket.local_address.ip()),
        client_port: socket.remote_address.port(),
        server_port: socket.local_address.port(),
    }
}

/// The processes that hold one of these sockets, PID 1 and super-servers left out.
#[must_use]
pub fn of(inodes: &HashSet<u64>) -> Vec<Process> {
    let all = procfs::process::all_processes();
    all.into_iter()
        .flatten()
        .flatten()
        .filter(|process| process.pid > INIT && holds_any(process, inodes))
        .filter(|process| !is_super_server(process))
        .collect()
}

fn holds_any(process: &Process, inodes: &HashSet<u64>) -> bool {
    inodes_of(process).any(|inode| inodes.contains(&inode))
}

/// The sockets that a process holds.
pub fn inodes_of(process: &Process) -> impl Iterator<Item = u64> {
    let descriptors = process.fd().into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| match descriptor.target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    })
}

/// Whether a process runs the program of a super-server: what it holds it will hand on.
#[must_use]
pub fn is_super_server(process: &Process) -> bool {
    let program = process.exe().unwrap_or_default();
    let name = program.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| SUPER_SERVERS.contains(&name))
}

/// The program that a process runs.
#[must_use]
pub fn program(pid: i32) -> Option<PathBuf> {
    Process::new(pid).ok()?.exe().ok()
}

/// The process that a process was started by, or that took it over.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    Some(Process::new(pid).ok()?.stat().ok()?.ppid)
}
