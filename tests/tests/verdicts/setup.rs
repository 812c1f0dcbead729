//! How the programs are set up: each has a table of its own.

use ftpfw_common::abi::policy::{Settings, ftps};
use ftpfw_user::config::{PortPolicy, PortRange};

use crate::world::{OPEN_BOTH, OPEN_TCP, OPEN_UDP, PASSIVE};

/// What differs from the defaults of the command line, but for the open ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Nothing.
    Defaults,
    /// `--udp pass`.
    UdpPass,
    /// The kernel has no tracepoint: the first SYN claims a tuple.
    ClaimOnSyn,
    /// `--ftps range`.
    PassiveRange,
}

impl Setup {
    pub const ALL: [Self; 4] = [
        Self::Defaults,
        Self::UdpPass,
        Self::ClaimOnSyn,
        Self::PassiveRange,
    ];

    pub fn policy(self) -> PortPolicy {
        let open = [
            format!("{OPEN_TCP}/tcp"),
            format!("{OPEN_UDP}/udp"),
            OPEN_BOTH.to_string(),
        ];
        PortPolicy {
            open: open.map(|it| it.parse().expect("a port")).into(),
            passive: match self {
                Self::PassiveRange => vec![PortRange {
                    first: PASSIVE,
                    last: PASSIVE + 1,
                }],
                _ => Vec::new(),
            },
            protect_udp: self != Self::UdpPass,
            ..PortPolicy::default()
        }
    }

    pub fn settings(self) -> Settings {
        Settings {
            claim_on_syn: u32::from(self == Self::ClaimOnSyn),
            ftps: match self {
                Self::PassiveRange => ftps::RANGE,
                _ => ftps::LISTENER,
            },
            ..Settings::DEFAULT
        }
    }
}
