//! nftables with the kernel's FTP helper: what a user would take instead of ftpfw.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::netns::Netns;
use crate::programs;

/// What becomes of TCP that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is dropped, as the rulesets in the wild have it.
    Drop,
    /// It is answered, so that no client waits.
    Reject,
}

/// `nf_conntrack_ftp` on port 21; input policy drop; 21, 990, what is `open` beside them, and what is
/// established or related accepted; all output accepted.
#[must_use]
pub fn ftp_helper(otherwise: Otherwise, open: &[u16]) -> String {
    let open: String = open.iter().map(|port| format!(", {port}")).collect();
    let last = match otherwise {
        Otherwise::Drop => "",
        Otherwise::Reject => "meta l4proto tcp reject with tcp reset",
    };
    format!(
        "\
table inet firewall {{
    ct helper ftp {{ type \"ftp\" protocol tcp; }}
    chain prerouting {{
        type filter hook prerouting priority filter;
        tcp dport 21 ct helper set \"ftp\"
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        iif lo accept
        meta l4proto ipv6-icmp accept
        ct state established,related accept
        tcp dport {{ 21, 990{open} }} accept
        {last}
    }}
}}"
    )
}

/// Loads rules in a namespace.
///
/// # Errors
/// With what `nft` said.
pub fn load(netns: &Netns, rules: &str) -> Result<()> {
    let mut nft = Command::new(programs::find("nft")?);
    nft.arg(rules).stdin(Stdio::null());
    let output = netns.run(|| nft.output())??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {}", said.trim());
    Ok(())
}
