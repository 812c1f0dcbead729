//! Which of the two eBPF objects this kernel takes.

use std::env;

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use ftpfw_common::abi::policy::Settings;

/// The programs, as the build script compiled them.
static FULL: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ftpfw-ebpf"));
static EARLY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ftpfw-ebpf-early"));

/// For trying the others on a kernel that needs them not: `early`. Not over pins of the ones that it takes.
const VARIABLE: &str = "FTPFW_PROGRAMS";

/// The programs for a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// For kernels that have all.
    Full,
    /// For kernels without `bpf_loop` (before 5.17), without which no engine runs in them: the agent opens.
    /// They do without what is missing before that, too (`ftpfw-ebpf/src/kernel.rs`).
    Early,
}

impl Programs {
    /// Those that this kernel takes, found out by trying. When that cannot be tried it is the full ones:
    /// the kernel's answer to them says why.
    #[must_use]
    pub fn for_this_kernel() -> Self {
        if env::var_os(VARIABLE).is_some_and(|value| value == "early") {
            return Self::Early;
        }
        match is_helper_supported(ProgramType::SchedClassifier, BpfHelper::BPF_FUNC_loop) {
            Ok(false) => Self::Early,
            Ok(true) => Self::Full,
            Err(error) => {
                tracing::debug!("whether the kernel has bpf_loop cannot be tried: {error}");
                Self::Full
            }
        }
    }

    /// Whether they can open: `--opener inline`.
    #[must_use]
    pub const fn can_open(self) -> bool {
        matches!(self, Self::Full)
    }

    /// These settings, as far as the programs can follow them.
    #[must_use]
    pub const fn fit(self, settings: Settings) -> Settings {
        Settings {
            inline_opener: if self.can_open() {
                settings.inline_opener
            } else {
                0
            },
            ..settings
        }
    }

    pub(super) const fn object(self) -> &'static [u8] {
        match self {
            Self::Full => FULL,
            Self::Early => EARLY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_engine_opens() {
        let agent = Settings {
            inline_opener: 0,
            ..Settings::DEFAULT
        };
        assert_eq!(Programs::Full.fit(Settings::DEFAULT), Settings::DEFAULT);
        assert_eq!(Programs::Full.fit(agent), agent);
        assert_eq!(Programs::Early.fit(Settings::DEFAULT), agent);
        assert_eq!(Programs::Early.fit(agent), agent);
    }
}
