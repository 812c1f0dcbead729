//! An FTP server that needs no installation: libunftp over a directory, for anyone who logs in.
//!
//! What it cannot do, so that nobody looks for it here: EPRT, PASV on IPv6, TLS. It answers PORT
//! only after it has dialled the client, where vsftpd dials when the transfer begins.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use libunftp::ServerBuilder;
use libunftp::options::ActivePassiveMode;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use unftp_sbe_fs::Filesystem;

/// Serves a directory over FTP to anyone, reading and writing, until SIGTERM.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Where to listen, e.g. 0.0.0.0:21; once for each address.
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    listen: Vec<SocketAddr>,
    /// The directory to serve.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The ports of passive transfers.
    #[arg(long, value_name = "LO-HI", default_value = "1024-65535", value_parser = port_range)]
    passive_ports: RangeInclusive<u16>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    // Opened here once, so that a wrong directory is an error now and not in the first session.
    open_root(&options)?;
    // Before the line that says "ready": whoever reads it may send the signal at once.
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    for address in &options.listen {
        let listener = listen(*address).with_context(|| format!("listen on {address}"))?;
        println!("listening on {}", listener.local_addr()?);
        tokio::spawn(serve(listener, options.clone()));
    }
    terminate.recv().await;
    Ok(())
}

async fn serve(listener: TcpListener, options: Options) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let options = options.clone();
                tokio::spawn(async move {
                    if let Err(error) = session(stream, &options).await {
                        eprintln!("session of {client}: {error:#}");
                    }
                });
            }
            Err(error) => eprintln!("accept: {error}"),
        }
    }
}

/// One control connection, to its end.
async fn session(stream: TcpStream, options: &Options) -> Result<()> {
    let root = options.root.clone();
    let server = ServerBuilder::new(Box::new(move || {
        Filesystem::new(root.clone()).expect("the directory to serve was there at the start")
    }))
    .greeting("ftpfw's embedded FTP server")
    .active_passive_mode(ActivePassiveMode::ActiveAndPassive)
    .passive_ports(options.passive_ports.clone())
    .build()?;
    server.service(stream).await?;
    Ok(())
}

fn open_root(options: &Options) -> Result<()> {
    let root = &options.root;
    Filesystem::new(root).with_context(|| format!("open {}", root.display()))?;
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        let socket = TcpSocket::new_v6()?;
        // An IPv4 client of a dual-stack socket gets a mapped address, for which libunftp has no
        // 227. Whoever wants both families listens twice.
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
        socket
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket.listen(128)?)
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>> {
    let (low, high) = text.split_once('-').context("expected LO-HI")?;
    let (low, high) = (low.parse()?, high.parse()?);
    if low == 0 || low > high {
        bail!("expected LO-HI with 1 <= LO <= HI");
    }
    Ok(low..=high)
}
