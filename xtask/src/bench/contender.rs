//! Firewalls that are measured side by side, each in a namespace of its own, all on cables that end in
//! the generator's.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::generator::{Generator, Limit};
use ftpfw_tests::lab::Host;
use ftpfw_tests::netns::Netns;
use ftpfw_tests::nftables::{self, Otherwise};
use ftpfw_tests::programs;

/// Who filters, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Nobody.
    None,
    /// The same once more.
    NoneAgain,
    /// XDP_DROP without a look: the limit.
    Bare,
    /// The same once more: what two equals differ by is the machine's noise.
    BareAgain,
    /// XDP_DROP after a look into the kernel's table of sockets: the limit for what may be a connection's.
    BareLookUp,
    /// XDP_PASS without a look: the limit of letting through in the driver.
    BarePass,
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
            Self::None => "no firewall",
            Self::NoneAgain => "no firewall, again",
            Self::Bare => "bare XDP_DROP",
            Self::BareAgain => "bare XDP_DROP, again",
            Self::BareLookUp => "socket look-up, XDP_DROP",
            Self::BarePass => "bare XDP_PASS",
            Self::Ftpfw("native") => "ftpfw, native",
            Self::Ftpfw("generic") => "ftpfw, generic",
            Self::Ftpfw(_) => "ftpfw, tc",
            Self::NftRaw => "nft raw prerouting",
            Self::NftConntrack => "nft conntrack + ftp",
            Self::XdpTools => "xdp-filter",
        }
    }
}

/// Those that are measured by what they let in, in the order that reports have them in.
pub const LETTING_IN: [Filter; 6] = [
    Filter::None,
    Filter::Ftpfw("native"),
    Filter::NoneAgain,
    Filter::Ftpfw("tc"),
    Filter::NftConntrack,
    Filter::BarePass,
];

const RAW: &str = "\
table inet bench {
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        tcp dport 1024-65535 drop
        udp dport 1024-65535 drop
    }
}";

/// A port that carries data connections here. Below those that floods come to; nftables opens it, and
/// ftpfw, where it protects it, has to know its connections.
pub const DATA_PORT: u16 = 1000;

/// A firewall under test. Dropped in this order: whoever filters goes before its namespace.
pub struct Contender {
    pub filter: Filter,
    pub firewall: Option<Firewall>,
    limit: Option<Generator>,
    pub host: Host,
    /// The other end of its cable, in the generator's namespace.
    pub interface: u32,
    /// The address of that end.
    pub client: Ipv4Addr,
}

impl Contender {
    /// All of them, numbered, each with its firewall and `options` for those that are ftpfw.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start_all(filters: &[Filter], from: &Netns, options: &[&str]) -> Result<Vec<Self>> {
        let start = |(number, filter): (u8, &Filter)| {
            let mut contender = Self::plug_in(*filter, from, number)?;
            contender.arm(options)?;
            Ok(contender)
        };
        (0_u8..).zip(filters).map(start).collect()
    }

    /// Plugs a new host into the generator's namespace; nothing filters yet. `number` is unique in
    /// this process, below 256.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn plug_in(filter: Filter, from: &Netns, number: u8) -> Result<Self> {
        let host = plug_in(from, number)?;
        let interface = index(from, &cable(number))?;
        let client = Ipv4Addr::new(10, 99, number, 2);
        Ok(Self {
            filter,
            firewall: None,
            limit: None,
            host,
            interface,
            client,
        })
    }

    /// Starts the firewall.
    ///
    /// # Errors
    /// With the name of the one that cannot be started.
    pub fn arm(&mut self, options: &[&str]) -> Result<()> {
        self.start_filter(options)
            .with_context(|| self.filter.name())
    }

    fn start_filter(&mut self, options: &[&str]) -> Result<()> {
        match self.filter {
            Filter::None | Filter::NoneAgain => {}
            Filter::Bare | Filter::BareAgain => self.attach(Limit::Drop)?,
            Filter::BareLookUp => self.attach(Limit::LookUp)?,
            Filter::BarePass => self.attach(Limit::Pass)?,
            Filter::Ftpfw(mode) => {
                let options = [&["--mode", mode], options].concat();
                let firewall = Firewall::start(&self.host, &options)?;
                self.firewall = Some(firewall);
            }
            Filter::NftRaw => nftables::load(&self.host.netns, RAW)?,
            Filter::NftConntrack => {
                let rules = nftables::ftp_helper(Otherwise::Drop, &[DATA_PORT]);
                nftables::load(&self.host.netns, &rules)?;
                // Generated segments have no right numbers.
                let liberal = "netfilter/nf_conntrack_tcp_be_liberal";
                self.host.netns.sysctl(liberal, "1")?;
            }
            Filter::XdpTools => {
                let words = ["load", "--mode", "native", "--policy", "deny", "eth0"];
                self.run("xdp-filter", &words)?;
            }
        }
        // Without a program in the driver, a veth takes redirected frames only with GRO.
        self.run("ethtool", &["-K", "eth0", "gro", "on"])
    }

    fn attach(&mut self, limit: Limit) -> Result<()> {
        let mut programs = Generator::load()?;
        programs.attach(limit, &self.host.netns)?;
        self.limit = Some(programs);
        Ok(())
    }

    /// Packets that it has dropped so far, if it can tell.
    pub fn drops(&self) -> Result<Option<u64>> {
        match (&self.firewall, &self.limit) {
            (Some(firewall), _) => Ok(Some(firewall.stats()?.drops())),
            (None, Some(limit)) => Ok(Some(limit.dropped()?)),
            (None, None) => Ok(None),
        }
    }

    /// Whatever gets through to TCP's and UDP's high ports is dropped before the stack takes it.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn drop_behind(&self) -> Result<()> {
        nftables::load(&self.host.netns, RAW)
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
    // BBR paces by round-trip times that mean nothing on a veth.
    netns.sysctl("ipv4/tcp_congestion_control", "reno")?;
    let cable = cable(number);
    from.ip(&format!(
        "link add {cable} type veth peer name eth0 address 02:77:00:00:00:01 netns {}\n\
         link set {cable} up\n\
         addr add {}/24 dev {cable}",
        netns.name(),
        Ipv4Addr::new(10, 99, number, 2)
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
