//! From flags and file to the configuration.

use ftpfw_common::abi::policy::{Settings, ftps};

use super::{
    Config, Limits, PassivePorts, PortPolicy, PortRange, UsageError, WantedInterface,
    file::{File, Keys, values},
    interface, passive,
};
use crate::cli::{self, FtpsArg, ModeArg, OpenerArg, RunArgs, UdpArg};

impl Config {
    /// Reads the configuration file, if there is one, and checks and completes what it and the flags say.
    /// Changes nothing.
    ///
    /// # Errors
    ///
    /// [`FileError`](super::file::FileError) for what is wrong in the file; [`UsageError`] for arguments that contradict
    /// it or each other.
    pub fn resolve(args: &RunArgs) -> anyhow::Result<Self> {
        let file = match &args.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let config = Self::of(args, &file.keys)?;
        if config.interfaces.is_empty() {
            let text = "no interface to protect: name one, --interface IFACE, or \
                        a file with a line `interfaces = [\"IFACE\"]`, --config FILE";
            return Err(UsageError(text.to_owned()).into());
        }
        Ok(config)
    }

    /// What the flags and, behind them, the file come to; maybe without any interface.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for what contradicts itself.
    pub(crate) fn of(args: &RunArgs, keys: &Keys) -> anyhow::Result<Self> {
        let pin_dir = args.pin_dir.as_ref().or(keys.pin_dir());
        let pin_dir = pin_dir.cloned().unwrap_or(cli::DEFAULT_PIN_DIR.into());
        if !pin_dir.is_absolute() {
            let path = pin_dir.display();
            return Err(UsageError(format!("--pin-dir {path} is not an absolute path")).into());
        }
        let limits = Limits::from(args.limits.or(keys.limits.as_args()));
        let socket = args.socket.as_ref().or(keys.socket());
        let opener = args.opener.or(keys.opener());
        let on = |flag: Option<bool>, key: Option<bool>| flag.or(key).unwrap_or(false);
        Ok(Self {
            interfaces: interfaces(args, keys)?,
            ports: ports(args, keys)?,
            settings: Settings {
                inline_opener: u32::from(opener != Some(OpenerArg::Agent)),
                dry_run: u32::from(on(args.dry_run, keys.dry_run)),
                ftps: match ftps(args, keys) {
                    FtpsArg::Listener => ftps::LISTENER,
                    FtpsArg::Range => ftps::RANGE,
                    FtpsArg::Deny => ftps::DENY,
                },
                sessions_per_client: limits.sessions_per_client,
                tuples_per_client: limits.tuples_per_client,
                ..keys.timeouts.fill(Settings::DEFAULT)
            },
            inline_opener_asked: opener == Some(OpenerArg::Inline),
            limits,
            keep_attached: on(args.keep_attached, keys.keep_attached),
            pin_dir,
            socket: socket.cloned().unwrap_or(cli::DEFAULT_SOCKET.into()),
            metrics: args.metrics.or(keys.metrics()),
            transfer_log: args.transfer_log.as_ref().or(keys.transfer_log()).cloned(),
        })
    }
}

fn interfaces(args: &RunArgs, keys: &Keys) -> Result<Vec<WantedInterface>, UsageError> {
    let asked = given(&args.interfaces, values(&keys.interfaces)).unwrap_or_default();
    interface::wanted(&asked, args.mode.or(keys.mode()).unwrap_or(ModeArg::Auto))
}

fn ports(args: &RunArgs, keys: &Keys) -> anyhow::Result<PortPolicy> {
    let defaults = PortPolicy::default();
    let control = given(&args.control_ports, keys.control_ports()).unwrap_or(defaults.control);
    let protected = given(&args.protect, values(&keys.protect));
    let ports = PortPolicy {
        protected: protected.unwrap_or(defaults.protected),
        open: given(&args.open_ports, values(&keys.open_ports)).unwrap_or(defaults.open),
        implicit_tls: PortPolicy::implicit_tls(
            &args.implicit_tls_ports,
            keys.implicit_tls_ports(),
            &control,
        )?,
        control,
        passive: passive(args, keys)?,
        protect_udp: args.udp.or(keys.udp()) != Some(UdpArg::Pass),
    };
    ports.check()?;
    Ok(ports)
}

/// What the flags say, or else the file; an empty list there is one, too.
fn given<T: Clone>(flags: &[T], file: Option<Vec<T>>) -> Option<Vec<T>> {
    match flags {
        [] => file,
        flags => Some(flags.to_vec()),
    }
}

fn ftps(args: &RunArgs, keys: &Keys) -> FtpsArg {
    args.ftps.or(keys.ftps()).unwrap_or(FtpsArg::Listener)
}

/// The range that `--ftps range` opens. One in the file is not used when a flag says otherwise.
fn passive(args: &RunArgs, keys: &Keys) -> anyhow::Result<Vec<PortRange>> {
    match (ftps(args, keys), args.passive_ports) {
        (FtpsArg::Range, flag) => match flag.or(keys.passive_ports()) {
            Some(PassivePorts::Range(range)) => Ok(vec![range]),
            Some(PassivePorts::Auto) => passive::configured(),
            None => {
                let text = "--ftps range needs --passive-ports LO-HI, or --passive-ports auto";
                Err(UsageError(text.to_owned()).into())
            }
        },
        (_, Some(_)) => {
            let text = "--passive-ports is for --ftps range";
            Err(UsageError(text.to_owned()).into())
        }
        (_, None) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        config::{FilterChoice, OpenPort, find_all},
    };

    fn resolve(arguments: &str) -> anyhow::Result<Config> {
        let words = format!("ftpfw run {arguments}");
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Command::Run(args) => Config::resolve(&args),
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
    fn an_empty_list_is_none_and_not_the_default() {
        const NONE: [u16; 0] = [];
        let implicit = |arguments, text| {
            let config = with_file(arguments, text).expect("it is right");
            config.ports.implicit_tls
        };
        assert_eq!(implicit("", ""), [990]);
        assert_eq!(implicit("", "implicit_tls_ports = []"), NONE);
        assert_eq!(implicit("--implicit-tls-port none", ""), NONE);
        let file = "implicit_tls_ports = [9990]";
        assert_eq!(implicit("", file), [9990]);
        assert_eq!(implicit("--implicit-tls-port none", file), NONE);
        assert_eq!(
            implicit("--implicit-tls-port 991", "implicit_tls_ports = []"),
            [991]
        );
        let only_tls = with_file("", "control_ports = []").unwrap();
        assert_eq!(
            (only_tls.ports.control, only_tls.ports.implicit_tls),
            (vec![], vec![990])
        );
        for (arguments, text, says) in [
            (
                "--implicit-tls-port none --implicit-tls-port 990",
                "",
                "beside a port",
            ),
            (
                "--implicit-tls-port none",
                "control_ports = []",
                "both empty",
            ),
            ("", "protect = []", "protect is empty"),
        ] {
            let error = with_file(arguments, text).expect_err(text).to_string();
            assert!(error.contains(says), "{arguments} {text}: {error}");
        }
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let config = resolve("-i lo -i nosuch0").expect("it may come yet");
        let error = find_all(&config.interfaces).expect_err("it is not there");
        assert_eq!(error.to_string(), "interface nosuch0 does not exist");
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
    fn somebody_must_name_an_interface() {
        let text = error("--dry-run");
        assert!(
            text.contains("--interface") && text.contains("--config"),
            "{text}"
        );
        let keys = "interfaces = [\"eth7:tc\", \"eth8\"]\nmode = \"generic\"";
        let config = with_file("", keys).expect("the file names some");
        let named: Vec<_> = config.interfaces.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["eth7:tc", "eth8:generic"]);
        // Those of the flags take the place of those of the file, and its mode is for them too.
        let config = with_file("-i eth9", keys).unwrap();
        let named: Vec<_> = config.interfaces.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["eth9:generic"]);
    }

    fn with_file(arguments: &str, text: &str) -> anyhow::Result<Config> {
        let words = format!("ftpfw run {arguments}");
        match Cli::try_parse_from(words.split_whitespace())?.command {
            Command::Run(args) => Config::of(&args, &toml::from_str(text)?),
            other => panic!("not `run`: {other:?}"),
        }
    }

    /// All keys, each with a value that is not the default.
    const EVERYTHING: &str = r#"
        interfaces = ["lo"]
        mode = "tc"
        control_ports = [2121]
        implicit_tls_ports = [9990]
        protect = ["1024-2000", 3000]
        open_ports = ["8080/tcp", 5353]
        udp = "pass"
        opener = "agent"
        ftps = "range"
        passive_ports = "50000-50100"
        dry_run = true
        keep_attached = true
        pin_dir = "/pins"
        socket = "/socket"
        metrics = "127.0.0.1:9100"
        transfer_log = "/transfers"
        [timeouts]
        tuple = "30s"
        tcp_flow = "2h"
        closing_flow = "10s"
        udp_flow = "1m"
        [limits]
        sessions = 1000
        sessions_per_client = 10
        tuples = "2000"
        tuples_per_client = 20
        flows = 3000
        log_lines = 30
    "#;

    #[test]
    fn the_file_goes_before_the_defaults_and_flags_before_the_file() {
        let flags = "-i lo:auto --control-port 21 --implicit-tls-port 990 --protect 1024-65535 \
                     --udp drop --opener inline --ftps listener --dry-run=false \
                     --keep-attached=false --pin-dir /sys/fs/bpf/ftpfw \
                     --socket /run/ftpfw/agent.sock --metrics [::1]:9 --transfer-log /other \
                     --max-sessions 65536 \
                     --max-sessions-per-client 16384 --max-tuples 65536 \
                     --max-tuples-per-client 16384 --max-flows 65536 --max-log-lines 1000";
        let file = with_file("", EVERYTHING).unwrap();
        let default = with_file("-i lo", "").unwrap();
        let same: Vec<_> = file
            .entries()
            .into_iter()
            .filter(|entry| default.entries().contains(entry))
            .collect();
        assert!(same.is_empty(), "the file does not reach {same:?}");
        let mut flags = with_file(flags, EVERYTHING).unwrap();
        // These have no default that a flag could say.
        assert_eq!(flags.metrics.take(), "[::1]:9".parse().ok());
        assert_eq!(flags.transfer_log.take(), Some("/other".into()));
        // That it was said matters where the kernel cannot.
        assert!(mem::take(&mut flags.inline_opener_asked));
        // No flag says these.
        assert_eq!(flags.ports.open, file.ports.open);
        flags.ports.open.clear();
        assert_eq!(flags.settings.tuple_lifetime, 30_000_000_000);
        flags.settings = Settings {
            tuple_lifetime: default.settings.tuple_lifetime,
            tcp_flow_lifetime: default.settings.tcp_flow_lifetime,
            closing_flow_lifetime: default.settings.closing_flow_lifetime,
            udp_flow_lifetime: default.settings.udp_flow_lifetime,
            ..flags.settings
        };
        assert_eq!(flags, default);
    }
}
