//! Arguments of `ftpfw replay`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use crate::config::ImplicitTls;

/// `ftpfw replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Capture to replay: pcap or pcapng.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Address of the FTP server; may be given several times [default: every address that speaks
    /// from a control port].
    #[arg(long = "server", value_name = "ADDR")]
    pub servers: Vec<IpAddr>,
    /// Port of FTP control connections; may be given several times.
    #[arg(long = "control-port", value_name = "PORT", default_value = "21", value_parser = clap::value_parser!(u16).range(1..))]
    pub control_ports: Vec<u16>,
    /// Port of control connections that are TLS from the first byte; may be given several times;
    /// none: there is none [default: 990].
    #[arg(long = "implicit-tls-port", value_name = "PORT|none")]
    pub implicit_tls_ports: Vec<ImplicitTls>,
    /// JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}
