//! What `ftpfw run` was asked to do, resolved: every value checked, every default filled in.

mod interface;
mod limits;
mod passive;
mod ports;

use std::{fmt, path::PathBuf};

use ftpfw_common::abi::policy::{Settings, ftps};

pub use interface::{Interface, InterfaceArg, InterfaceError};
pub use limits::Limits;
pub use passive::PassivePorts;
pub use ports::{OpenPort, PortPolicy, PortRange, Transport};

use crate::cli::{FtpsArg, ModeArg, OpenerArg, RunArgs, UdpArg};

/// A resolved configuration: one value each, nothing optional that is not really optional.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interfaces, each once.
    pub interfaces: Vec<Interface>,
    /// What each local port is.
    pub ports: PortPolicy,
    /// What goes into the map `SETTINGS`.
    pub settings: Settings,
    /// How much others can make it hold.
    pub limits: Limits,
    /// Leave everything attached at the end.
    pub keep_attached: bool,
    /// Directory of pins.
    pub pin_dir: PathBuf,
    /// Socket of the agent.
    pub socket: PathBuf,
}

/// Where the filter may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterChoice {
    /// As native XDP; where the driver cannot, as generic XDP.
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
    /// At TC ingress.
    Tc,
}

/// Why the arguments make no configuration: the user's mistake, exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Config {
    /// Checks and completes the arguments. Changes nothing; looks up the interfaces.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for arguments that contradict each other or ask for what is not built;
    /// [`InterfaceError`] for an interface that does not exist.
    pub fn resolve(args: RunArgs) -> anyhow::Result<Self> {
        supported(&args)?;
        if !args.place.pin_dir.is_absolute() {
            let path = args.place.pin_dir.display();
            return Err(UsageError(format!("--pin-dir {path} is not an absolute path")).into());
        }
        let implicit_tls = PortPolicy::implicit_tls(&args.implicit_tls_ports, &args.control_ports);
        let passive = passive(&args)?;
        let ports = PortPolicy {
            protected: args.protect,
            open: args.open_ports,
            control: args.control_ports,
            implicit_tls,
            passive,
            protect_udp: args.udp == UdpArg::Drop,
        };
        ports.check()?;
        let ftps = match args.ftps {
            FtpsArg::Listener => ftps::LISTENER,
            FtpsArg::Range => ftps::RANGE,
            FtpsArg::Deny => ftps::DENY,
        };
        let limits = Limits::from(args.limits);
        Ok(Self {
            interfaces: interface::resolve(&args.interfaces, args.mode)?,
            ports,
            settings: Settings {
                inline_opener: u32::from(args.opener == OpenerArg::Inline),
                dry_run: u32::from(args.dry_run),
                ftps,
                sessions_per_client: limits.sessions_per_client,
                tuples_per_client: limits.tuples_per_client,
                ..Settings::DEFAULT
            },
            limits,
            keep_attached: args.keep_attached,
            pin_dir: args.place.pin_dir,
            socket: args.place.socket,
        })
    }
}

/// The range that `--ftps range` opens.
fn passive(args: &RunArgs) -> anyhow::Result<Vec<PortRange>> {
    match (args.ftps, args.passive_ports) {
        (FtpsArg::Range, Some(PassivePorts::Range(range))) => Ok(vec![range]),
        (FtpsArg::Range, Some(PassivePorts::Auto)) => passive::configured(),
        (FtpsArg::Range, None) => {
            let text = "--ftps range needs --passive-ports LO-HI, or --passive-ports auto";
            Err(UsageError(text.to_owned()).into())
        }
        (_, Some(_)) => {
            let text = "--passive-ports is for --ftps range";
            Err(UsageError(text.to_owned()).into())
        }
        (_, None) => Ok(Vec::new()),
    }
}

/// Refuses what does not exist yet: a firewall that silently ignores a flag is worse than one that
/// lacks it.
fn supported(args: &RunArgs) -> Result<(), UsageError> {
    let not_built = |flag: &str| Err(UsageError(format!("{flag} is not built yet: leave it out")));
    if args.config.is_some() {
        return not_built("--config");
    }
    Ok(())
}

impl From<ModeArg> for FilterChoice {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Auto => Self::Auto,
            ModeArg::Native => Self::Native,
            ModeArg::Generic => Self::Generic,
            ModeArg::Tc => Self::Tc,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn resolve(arguments: &str) -> anyhow::Result<Config> {
        let words = format!("ftpfw run {arguments}");
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Command::Run(args) => Config::resolve(*args),
            other => panic!("not `run`: {other:?}"),
        }
    }

    fn error(arguments: &str) -> String {
        resolve(arguments).expect_err(arguments).to_string()
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let config = resolve("-i lo").expect("lo exists everywhere");
        assert_eq!(config.settings, Settings::DEFAULT);
        assert_eq!(config.ports.control, [21]);
        assert_eq!(config.ports.implicit_tls, [990]);
        assert_eq!(
            config.ports.protected,
            [PortRange {
                first: 1024,
                last: 65535
            }]
        );
        assert_eq!(config.interfaces[0].mode, FilterChoice::Auto);
        assert!(config.ports.protect_udp && !config.keep_attached);
    }

    #[test]
    fn flags_reach_the_settings() {
        let config = resolve("-i lo --opener agent --dry-run --udp pass --mode generic").unwrap();
        assert_eq!(config.settings.inline_opener, 0);
        assert_eq!(config.settings.dry_run, 1);
        assert_eq!(config.interfaces[0].mode, FilterChoice::Generic);
        assert!(!config.ports.protect_udp);
    }

    #[test]
    fn an_interface_may_have_a_mode_of_its_own() {
        let config = resolve("-i lo:tc --mode generic").unwrap();
        assert_eq!(config.interfaces[0].name, "lo");
        assert_eq!(config.interfaces[0].mode, FilterChoice::Tc);
        for wrong in ["-i lo:fast", "-i lo:", "-i :tc"] {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_are_listed_with_commas_and_by_repetition() {
        let config = resolve(
            "-i lo --open-port 8080/tcp,9000-9010/udp --open-port 5353 --protect 1024-1030,2000-3000",
        )
        .unwrap();
        let open = ["8080/tcp", "9000-9010/udp", "5353"].map(|it| it.parse::<OpenPort>().unwrap());
        assert_eq!(config.ports.open, open);
        let protected = ["1024-1030", "2000-3000"].map(|it| it.parse::<PortRange>().unwrap());
        assert_eq!(config.ports.protected, protected);
    }

    #[test]
    fn an_unknown_interface_is_named() {
        assert_eq!(error("-i nosuch0"), "interface nosuch0 does not exist");
    }

    #[test]
    fn an_interface_given_twice_is_refused() {
        assert_eq!(error("-i lo -i lo"), "interface lo is given twice");
    }

    #[test]
    fn bad_ports_are_refused() {
        for arguments in [
            "-i lo --control-port 0",
            "-i lo --control-port 70000",
            "-i lo --control-port x",
            "-i lo --protect 5000-4000",
            "-i lo --protect 0-10",
            "-i lo --open-port 8080/icmp",
            "-i lo --open-port 0/tcp",
            "-i lo --open-port 9010-9000/udp",
            "-i lo --open-port 8080/tcp,",
            "-i lo --open-port 8080/tcp,,9000/udp",
            "-i lo --control-port 21 --implicit-tls-port 21",
        ] {
            assert!(resolve(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn a_passive_range_is_for_the_mode_that_needs_one() {
        let config = resolve("-i lo --ftps range --passive-ports 50000-50100").unwrap();
        assert_eq!(config.settings.ftps, ftps::RANGE);
        let (first, last) = (50_000, 50_100);
        assert_eq!(config.ports.passive, [PortRange { first, last }]);
        assert!(error("-i lo --ftps range").contains("--passive-ports LO-HI"));
        assert!(error("-i lo --passive-ports 50000-50100").contains("--ftps range"));
        assert!(resolve("-i lo --ftps range --passive-ports 50100-50000").is_err());
        assert_eq!(resolve("-i lo").unwrap().settings.ftps, ftps::LISTENER);
        assert_eq!(
            resolve("-i lo --ftps deny").unwrap().settings.ftps,
            ftps::DENY
        );
    }

    #[test]
    fn what_is_not_built_is_not_claimed() {
        let text = error("-i lo --config f.toml");
        assert!(text.contains("not built yet"), "{text}");
    }
}
