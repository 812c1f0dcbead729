//! The keys of the file. Their names and values are those of the command line, see docs/configuration.md.

use std::{net::SocketAddr, path::PathBuf};

use ftpfw_common::abi::policy::Settings;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Misplaced, Written,
    written::{AbsolutePath, Count, Lifetime, Port, Word},
};
use crate::{
    cli::{self, FtpsArg, LimitArgs, ModeArg, OpenerArg, Place, UdpArg},
    config::{InterfaceArg, OpenPort, PassivePorts, PortPolicy, PortRange},
};

/// A list that knows where each of its values stands.
type List<T> = Option<Vec<Spanned<Written<T>>>>;

/// What a file says; `None` for a key that is not there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    pub(in crate::config) interfaces: List<InterfaceArg>,
    mode: Option<Written<Word<ModeArg>>>,
    control_ports: List<Port>,
    implicit_tls_ports: List<Port>,
    pub(in crate::config) protect: List<PortRange>,
    pub(in crate::config) open_ports: List<OpenPort>,
    udp: Option<Written<Word<UdpArg>>>,
    opener: Option<Written<Word<OpenerArg>>>,
    ftps: Option<Spanned<Written<Word<FtpsArg>>>>,
    passive_ports: Option<Spanned<Written<PassivePorts>>>,
    pub(in crate::config) dry_run: Option<bool>,
    pub(in crate::config) keep_attached: Option<bool>,
    pin_dir: Option<Written<AbsolutePath>>,
    socket: Option<Written<AbsolutePath>>,
    metrics: Option<Written<SocketAddr>>,
    transfer_log: Option<Written<AbsolutePath>>,
    pub(in crate::config) timeouts: Timeouts,
    pub(in crate::config) limits: Limits,
}

/// Those that tell which ftpfw a file is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlaceKeys {
    pin_dir: Option<Written<AbsolutePath>>,
    socket: Option<Written<AbsolutePath>>,
}

impl PlaceKeys {
    pub(super) fn place(&self) -> Place {
        let of = |key, default: &str| path(key).cloned().unwrap_or(default.into());
        Place {
            pin_dir: of(self.pin_dir.as_ref(), cli::DEFAULT_PIN_DIR),
            socket: of(self.socket.as_ref(), cli::DEFAULT_SOCKET),
        }
    }
}

/// `[timeouts]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Of an armed tuple.
    tuple: Option<Written<Lifetime>>,
    /// Of flows of no local socket.
    tcp_flow: Option<Written<Lifetime>>,
    closing_flow: Option<Written<Lifetime>>,
    udp_flow: Option<Written<Lifetime>>,
}

/// `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    sessions: Option<Written<Count>>,
    sessions_per_client: Option<Written<Count>>,
    tuples: Option<Written<Count>>,
    tuples_per_client: Option<Written<Count>>,
    flows: Option<Written<Count>>,
    log_lines: Option<Written<Count>>,
}

impl Limits {
    /// As flags have them.
    #[must_use]
    pub fn as_args(&self) -> LimitArgs {
        let count = |key: &Option<Written<Count>>| key.as_ref().map(|Written(Count(count))| *count);
        LimitArgs {
            max_sessions: count(&self.sessions),
            max_sessions_per_client: count(&self.sessions_per_client),
            max_tuples: count(&self.tuples),
            max_tuples_per_client: count(&self.tuples_per_client),
            max_flows: count(&self.flows),
            max_log_lines: count(&self.log_lines),
        }
    }
}

/// The values of a list; `None` for a list that is not there.
pub(in crate::config) fn values<T: Clone>(list: &List<T>) -> Option<Vec<T>> {
    let values = list.as_ref()?.iter();
    Some(values.map(|value| value.get_ref().0.clone()).collect())
}

impl Timeouts {
    /// These, and those of `settings` where nothing is said.
    #[must_use]
    pub fn fill(&self, settings: Settings) -> Settings {
        let or = |given: &Option<Written<Lifetime>>, ns| {
            given.as_ref().map_or(ns, |Written(lifetime)| lifetime.ns())
        };
        Settings {
            tuple_lifetime: or(&self.tuple, settings.tuple_lifetime),
            tcp_flow_lifetime: or(&self.tcp_flow, settings.tcp_flow_lifetime),
            closing_flow_lifetime: or(&self.closing_flow, settings.closing_flow_lifetime),
            udp_flow_lifetime: or(&self.udp_flow, settings.udp_flow_lifetime),
            ..settings
        }
    }
}

fn word<T: Copy>(key: Option<&Written<Word<T>>>) -> Option<T> {
    key.map(|Written(Word(word))| *word)
}

fn path(key: Option<&Written<AbsolutePath>>) -> Option<&PathBuf> {
    key.map(|Written(AbsolutePath(path))| path)
}

fn numbers(key: &List<Port>) -> Option<Vec<u16>> {
    Some(values(key)?.into_iter().map(|Port(port)| port).collect())
}

/// The values, without how they are written.
impl Keys {
    pub(in crate::config) fn mode(&self) -> Option<ModeArg> {
        word(self.mode.as_ref())
    }

    pub(in crate::config) fn udp(&self) -> Option<UdpArg> {
        word(self.udp.as_ref())
    }

    pub(in crate::config) fn opener(&self) -> Option<OpenerArg> {
        word(self.opener.as_ref())
    }

    pub(in crate::config) fn ftps(&self) -> Option<FtpsArg> {
        word(self.ftps.as_ref().map(Spanned::get_ref))
    }

    pub(in crate::config) fn passive_ports(&self) -> Option<PassivePorts> {
        self.passive_ports.as_ref().map(|it| it.get_ref().0)
    }

    pub(in crate::config) fn control_ports(&self) -> Option<Vec<u16>> {
        numbers(&self.control_ports)
    }

    pub(in crate::config) fn implicit_tls_ports(&self) -> Option<Vec<u16>> {
        numbers(&self.implicit_tls_ports)
    }

    pub(in crate::config) fn pin_dir(&self) -> Option<&PathBuf> {
        path(self.pin_dir.as_ref())
    }

    pub(in crate::config) fn socket(&self) -> Option<&PathBuf> {
        path(self.socket.as_ref())
    }

    pub(in crate::config) fn transfer_log(&self) -> Option<&PathBuf> {
        path(self.transfer_log.as_ref())
    }

    pub(in crate::config) fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|Written(address)| *address)
    }
}

impl Keys {
    /// The names of the interfaces, and where each stands: the byte.
    pub(super) fn interface_names(&self) -> impl Iterator<Item = (&str, usize)> {
        let interfaces = self.interfaces.iter().flatten();
        interfaces.map(|interface| (interface.get_ref().0.name(), interface.span().start))
    }

    /// Refuses what contradicts itself, whatever the flags say.
    pub(super) fn check(&self) -> Result<(), Misplaced> {
        self.no_interface_twice()?;
        self.each_port_once()?;
        self.passive_range()
    }

    fn no_interface_twice(&self) -> Result<(), Misplaced> {
        for (number, interface) in self.interfaces.iter().flatten().enumerate() {
            let name = interface.get_ref().0.name();
            let mut earlier = self.interface_names().take(number);
            if earlier.any(|(earlier, _)| earlier == name) {
                let message = format!("interface {name} is there twice; name it once");
                return Err(misplaced(interface, message));
            }
        }
        Ok(())
    }

    fn each_port_once(&self) -> Result<(), Misplaced> {
        let control = numbers(&self.control_ports);
        let control = control.unwrap_or_else(|| PortPolicy::default().control);
        for port in self.implicit_tls_ports.iter().flatten() {
            let Written(Port(number)) = port.get_ref();
            if control.contains(number) {
                let message = format!(
                    "port {number} is in control_ports too, or their default: it can only be one"
                );
                return Err(misplaced(port, message));
            }
        }
        Ok(())
    }

    fn passive_range(&self) -> Result<(), Misplaced> {
        let range = |ftps: &Spanned<Written<Word<FtpsArg>>>| {
            matches!(ftps.get_ref(), Written(Word(FtpsArg::Range)))
        };
        match (&self.ftps, &self.passive_ports) {
            (Some(ftps), None) if range(ftps) => Err(misplaced(
                ftps,
                "this needs a range: write passive_ports = \"LO-HI\" or \"auto\"".to_owned(),
            )),
            (ftps, Some(ports)) if !ftps.as_ref().is_some_and(range) => Err(misplaced(
                ports,
                "passive_ports is for ftps = \"range\": write that too, or leave it out".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

fn misplaced<T>(value: &Spanned<T>, message: String) -> Misplaced {
    Misplaced {
        at: value.span(),
        message,
    }
}
