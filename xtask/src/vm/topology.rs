//! What is between the hosts of a laboratory in a machine.

use clap::ValueEnum;

/// How server, client and stranger are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// By veths on a bridge, as on any host
    Veth,
    /// By NICs of the machine, which a hub of QEMU's joins
    Hub,
}

/// A kind of NIC, as QEMU and as its driver is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nic {
    /// XDP in the driver
    Virtio,
    /// No XDP in the driver
    E1000,
}

impl Nic {
    /// QEMU's name for it.
    const fn device(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000 => "e1000",
        }
    }

    /// The driver, which is also the kernel's module.
    pub const fn driver(self) -> &'static str {
        match self {
            Self::Virtio => "virtio_net",
            Self::E1000 => "e1000",
        }
    }
}

/// Hardware addresses of the NICs of server, client and stranger: locally administered.
pub const ADDRESSES: [&str; 3] = [
    "52:54:00:77:00:01",
    "52:54:00:77:00:02",
    "52:54:00:77:00:03",
];

/// QEMU's arguments for three NICs on one hub, which nothing else is on.
pub fn hub(nic: Nic) -> Vec<String> {
    let one = |(number, address): (usize, &&str)| {
        let device = nic.device();
        [
            "-netdev".to_owned(),
            format!("hubport,id=hub{number},hubid=0"),
            "-device".to_owned(),
            // Without a ROM to boot from, which Debian has in another package.
            format!("{device},netdev=hub{number},mac={address},romfile="),
        ]
    };
    ADDRESSES.iter().enumerate().flat_map(one).collect()
}
