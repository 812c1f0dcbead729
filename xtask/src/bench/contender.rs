//! Firewalls that are measured side by side, each in a namespace of its own, all on cables that end in
//! the generator's.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::generator::Generator;
use ftpfw_tests::lab::Host;
use ftpfw_tests::netns::Netns;
use ftpfw_tests::nftables::{self, Otherwise};
use ftpfw_tests::programs;

/// Who filters, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// XDP_DROP without a look: the limit.
    Bare,
    /// The same once more: what two equals differ by is the machine's noise.
    BareAgain,
    /// ftpfw in this mode.
    Ftpfw(&'static str),
    /// nftables at the raw priority of prerouting, without conntrack.
    NftRaw,
    /// nftables with conntrack and the FTP helper, policy drop: what a user would take instead.
    NftConntrack,
    /// xdp-filter of xdp-tools, policy deny.
    XdpTools,
}

impl Filter {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare XDP_DROP",
            Self::BareAgain => "bare XDP_DROP, again",
            Self::Ftpfw("native") => "ftpfw, native",
            Self::Ftpfw("generic") => "ftpfw, generic",
            Self::Ftpfw(_) => "ftpfw, tc",
            Self::NftRaw => "nft raw prerouting",
            Self::NftConntrack => "nft conntrack + ftp",
            Self::XdpTools => "xdp-filter",
        }
    }
}

const RAW: &str = "\
table inet bench {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        tcp dport 1024-65535 drop
        udp dport 1024-65535 drop
    }
}";

/// A firewall under test. Dropped in this order: whoever filters goes before its namespace.
pub struct Contender {
    pub filter: Filter,
    pub firewall: Option<Firewall>,
    bare: Option<Generator>,
    pub host: Host,
    /// The other end of its cable, in the generator's namespace.
    pub interface: u32,
}

impl Contender {
    /// Plugs a new host into the generator's namespace and starts the firewall there. `number` is
    /// unique in this process, below 256.
    pub fn start(filter: Filter, from: &Netns, number: u8) -> Result<Self> {
        let host = plug_in(from, number)?;
        let interface = index(from, &cable(number))?;
        let mut contender = Self {
            filter,
            firewall: None,
            bare: None,
            host,
            interface,
        };
        contender.arm()?;
        Ok(contender)
    }

    fn arm(&mut self) -> Result<()> {
        match self.filter {
            Filter::Bare | Filter::BareAgain => {
                let mut bare = Generator::load()?;
                bare.attach_drop(&self.host.netns)?;
                self.bare = Some(bare);
            }
            Filter::Ftpfw(mode) => {
                let firewall = Firewall::start(&self.host, &["--mode", mode])?;
                self.firewall = Some(firewall);
            }
            Filter::NftRaw => nftables::load(&self.host.netns, RAW)?,
            Filter::NftConntrack => {
                nftables::load(&self.host.netns, &nftables::ftp_helper(Otherwise::Drop))?;
            }
            Filter::XdpTools => {
                let words = ["load", "--mode", "native", "--policy", "deny", "eth0"];
                self.run("xdp-filter", &words)?;
            }
        }
        // Without a program in the driver, a veth takes redirected frames only with GRO.
        self.run("ethtool", &["-K", "eth0", "gro", "on"])
    }

    /// Packets that it has dropped so far, if it can tell.
    pub fn drops(&self) -> Result<Option<u64>> {
        match (&self.firewall, &self.bare) {
            (Some(firewall), _) => Ok(Some(firewall.stats()?.drops())),
            (None, Some(bare)) => Ok(Some(bare.dropped()?)),
            (None, None) => Ok(None),
        }
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new(programs::find(program)?);
        command.args(words).stdin(Stdio::null());
        let output = self.host.netns.run(|| command.output())??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {words:?}: {said}");
        Ok(())
    }
}

fn cable(number: u8) -> String {
    format!("to{number}")
}

fn plug_in(from: &Netns, number: u8) -> Result<Host> {
    let v4 = Ipv4Addr::new(10, 99, number, 1);
    let mac = [2, 0x77, 0, 0, 0, 1];
    let netns = Netns::new(&format!("bench-{number}"))?;
    for name in ["ipv4/conf/default/rp_filter", "ipv4/conf/all/rp_filter"] {
        netns.sysctl(name, "0")?;
    }
    let cable = cable(number);
    from.ip(&format!(
        "link add {cable} type veth peer name eth0 address 02:77:00:00:00:01 netns {}\n\
         link set {cable} up",
        netns.name()
    ))?;
    let v6 = format!("fd99::{number:x}:1")
        .parse()
        .context("an address")?;
    netns.ip(&format!(
        "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\nlink set eth0 up"
    ))?;
    Ok(Host { netns, v4, v6, mac })
}

fn index(netns: &Netns, name: &str) -> Result<u32> {
    let name = name.to_owned();
    let output = netns.run(|| {
        Command::new("ip")
            .args(["-o", "link", "show", "dev", &name])
            .output()
    })??;
    let text = String::from_utf8_lossy(&output.stdout);
    let index = text
        .split(':')
        .next()
        .and_then(|word| word.trim().parse().ok());
    index.with_context(|| format!("the index of {name} in {text:?}"))
}
