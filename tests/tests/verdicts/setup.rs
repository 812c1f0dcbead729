//! How the programs are set up: each has a table of its own.

use ftpfw_common::abi::policy::Settings;
use ftpfw_user::config::PortPolicy;

use crate::world::{OPEN_BOTH, OPEN_TCP, OPEN_UDP};

/// What differs from the defaults of the command line, but for the open ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Nothing.
    Defaults,
    /// `--udp pass`.
    UdpPass,
    /// The kernel has no tracepoint: the first SYN claims a tuple.
    ClaimOnSyn,
}

impl Setup {
    pub const ALL: [Self; 3] = [Self::Defaults, Self::UdpPass, Self::ClaimOnSyn];

    pub fn policy(self) -> PortPolicy {
        let open = [
            format!("{OPEN_TCP}/tcp"),
            format!("{OPEN_UDP}/udp"),
            OPEN_BOTH.to_string(),
        ];
        PortPolicy {
            open: open.map(|it| it.parse().expect("a port")).into(),
            protect_udp: self != Self::UdpPass,
            ..PortPolicy::default()
        }
    }

    pub fn settings(self) -> Settings {
        Settings {
            claim_on_syn: u32::from(self == Self::ClaimOnSyn),
            ..Settings::DEFAULT
        }
    }
}
