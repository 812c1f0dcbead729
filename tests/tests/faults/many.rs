//! Ten thousand control connections at once, of several clients: all are followed, and each may open
//! a port.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, prepare};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::patient;
use ftpfw_tests::scripted::{Scripted, heard};
use ftpfw_tests::{descriptors, wait};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const SESSIONS: usize = 10_000;
/// Addresses of clients.
const CLIENTS: usize = 8;
const FIRST_PORT: u16 = 40_000;
const STDERR: RawFd = 2;
const DESCRIPTORS: &str = "/proc/thread-self/fd";

const GREETING: &[u8] = b"220 ready\r\n";
const COMMANDS: &[u8] = b"USER a\r\nPASS b\r\nEPSV\r\n";

/// Where session `number` comes from and which port it negotiates: none of the pairs twice.
fn of(number: usize) -> (usize, u16) {
    let port = FIRST_PORT + u16::try_from(number / CLIENTS).expect("fewer than ports");
    (number % CLIENTS, port)
}

/// A thread that holds all clients' ends, in a table of descriptors of its own: one process may not
/// have both ends of all connections open (`RLIMIT_NOFILE`), and the limit is for a table.
fn with_own_descriptors<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: what this thread closes below are its own copies, which nothing in it owns: it has
            // opened nothing yet, and `work` brings no descriptors along.
            unsafe { unshare_unsafe(UnshareFlags::FILES) }.context("unshare descriptors")?;
            let open: Vec<RawFd> = fs::read_dir(DESCRIPTORS)?
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .filter(|fd| *fd > STDERR)
                .collect();
            // One of them was that of the directory.
            let open = open
                .into_iter()
                .filter(|fd| fs::read_link(format!("{DESCRIPTORS}/{fd}")).is_ok());
            for fd in open {
                // SAFETY: as above.
                unsafe { rustix::io::close(fd) };
            }
            work()
        });
        inside.join().expect("no panic")
    })
}

/// More addresses of the client's.
fn addresses(lab: &Lab) -> Result<Vec<IpAddr>> {
    let [a, b, c, _] = lab.client.v4.octets();
    let all: Vec<_> = (0..CLIENTS as u8)
        .map(|number| Ipv4Addr::new(a, b, c, 100 + number))
        .collect();
    let lines: Vec<_> = all
        .iter()
        .map(|it| format!("addr add {it}/24 dev eth0"))
        .collect();
    lab.client.netns.ip(&lines.join("\n"))?;
    Ok(all.into_iter().map(IpAddr::from).collect())
}

/// To be called in the namespace of the client.
fn dial_from(from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &to).with_context(|| format!("dial {to} from {from}"))?;
    let stream = TcpStream::from(socket);
    prepare(&stream)?;
    Ok(stream)
}

#[test]
fn ten_thousand_control_connections() -> Result<()> {
    descriptors::allow(SESSIONS + SESSIONS / CLIENTS + 100)?;
    let lab = Lab::new()?;
    let clients = addresses(&lab)?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let address = server.address;
    let listeners: BTreeMap<u16, TcpListener> = (0..SESSIONS)
        .step_by(CLIENTS)
        .map(|number| Ok((of(number).1, server.listen(of(number).1)?)))
        .collect::<Result<_>>()?;
    let long_lived = patient::long_lived()?;
    let firewall = Firewall::start(&lab.server, &long_lived.options())?;

    let (done, all) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    thread::scope(|scope| {
        let netns = &lab.client.netns;
        let outside = scope.spawn(move || {
            netns.run(|| {
                with_own_descriptors(move || {
                    let sessions = log_in_all(&clients, address)?;
                    done.send(())?;
                    may_go_on.recv()?;
                    dial_all(&clients, address)?;
                    done.send(())?;
                    may_go_on.recv()?;
                    drop(sessions);
                    Ok(())
                })
            })?
        });
        let served = serve(&server, &listeners, &firewall, &all, &go_on);
        drop(go_on);
        let dialled = outside.join().expect("no panic");
        served.and(dialled)
    })?;
    wait::until("the agent to forget all", || {
        Ok(firewall.sessions()?.is_empty().then_some(()))
    })
}

/// The clients' half: each logs in and negotiates.
fn log_in_all(clients: &[IpAddr], server: IpAddr) -> Result<Vec<TcpStream>> {
    let log_in = |number| -> Result<TcpStream> {
        let (client, port) = of(number);
        let mut stream = dial_from(clients[client], SocketAddr::new(server, 21))?;
        heard(&mut stream, GREETING)?;
        stream.write_all(COMMANDS)?;
        heard(&mut stream, replies(port).as_bytes())?;
        Ok(stream)
    };
    (0..SESSIONS)
        .map(|number| log_in(number).with_context(|| format!("client {number}")))
        .collect()
}

/// Each uses its tuple.
fn dial_all(clients: &[IpAddr], server: IpAddr) -> Result<()> {
    (0..SESSIONS).try_for_each(|number| {
        let (client, port) = of(number);
        let mut data = dial_from(clients[client], SocketAddr::new(server, port))?;
        heard(&mut data, b"data").with_context(|| format!("data of client {number}"))
    })
}

/// The server's half.
fn serve(
    server: &Scripted<'_>,
    listeners: &BTreeMap<u16, TcpListener>,
    firewall: &Firewall,
    all: &mpsc::Receiver<()>,
    go_on: &mpsc::Sender<()>,
) -> Result<()> {
    let mut sessions = Vec::with_capacity(SESSIONS);
    for number in 0..SESSIONS {
        let mut stream = server.accept()?;
        stream.write_all(GREETING)?;
        heard(&mut stream, COMMANDS).with_context(|| format!("session {number}"))?;
        stream.write_all(replies(of(number).1).as_bytes())?;
        sessions.push(stream);
    }
    all.recv().context("the clients")?;
    let stats = firewall.stats()?;
    ensure!(stats.events_lost == 0 && stats.drops() == 0, "{stats:?}");
    wait::until("the agent to follow all", || {
        Ok((firewall.sessions()?.len() == SESSIONS).then_some(()))
    })?;
    let tuples = firewall.tuples()?.len();
    ensure!(tuples == SESSIONS, "{tuples} tuples");

    go_on.send(())?;
    for number in 0..SESSIONS {
        accept(&listeners[&of(number).1])?.write_all(b"data")?;
    }
    all.recv().context("the clients")?;
    firewall.wait_for_tuples("all to have been used", <[_]>::is_empty)?;
    Ok(go_on.send(())?)
}

fn replies(port: u16) -> String {
    format!("331 word\r\n230 in\r\n229 Extended (|||{port}|)\r\n")
}
