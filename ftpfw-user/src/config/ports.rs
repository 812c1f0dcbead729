//! Which ports are protected, open, or carry control connections.

use std::{fmt, str::FromStr};

use ftpfw_common::abi::policy::port;

use super::UsageError;

/// Number of ports, and of entries in the map `PORTS`.
const ALL_PORTS: usize = 65_536;
/// The port of implicit FTPS, unless it is given or made a plain control port.
const DEFAULT_IMPLICIT_TLS: u16 = 990;

/// A range of ports, both ends included, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` lies in it.
    #[must_use]
    pub const fn contains(&self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port_number(first)?, port_number(last)?),
            None => (port_number(text)?, port_number(text)?),
        };
        if first > last {
            return Err(format!("{first} is greater than {last}"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// TCP, UDP, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// TCP and UDP.
    Both,
}

/// Protected ports that the operator opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenPort {
    /// The ports.
    pub ports: PortRange,
    /// For what.
    pub transport: Transport,
}

impl FromStr for OpenPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, transport) = match text.split_once('/') {
            None => (text, Transport::Both),
            Some((ports, "tcp")) => (ports, Transport::Tcp),
            Some((ports, "udp")) => (ports, Transport::Udp),
            Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        Ok(Self {
            ports: ports.parse()?,
            transport,
        })
    }
}

impl fmt::Display for OpenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "/tcp",
            Transport::Udp => "/udp",
            Transport::Both => "",
        };
        write!(f, "{}{transport}", self.ports)
    }
}

/// A port of implicit FTPS on the command line, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImplicitTls {
    /// `none`.
    None,
    /// One of them.
    Port(u16),
}

impl FromStr for ImplicitTls {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            number => Ok(Self::Port(
                port_number(number).map_err(|error| format!("{error}, or none"))?,
            )),
        }
    }
}

pub(super) fn port_number(text: &str) -> Result<u16, String> {
    match text.trim().parse::<u16>() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port: 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// What every local port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPolicy {
    /// Closed unless allowed.
    pub protected: Vec<PortRange>,
    /// Opened by the operator.
    pub open: Vec<OpenPort>,
    /// Carry FTP control connections.
    pub control: Vec<u16>,
    /// Carry FTP control connections that are TLS from the first byte.
    pub implicit_tls: Vec<u16>,
    /// The passive range of the FTP daemon, with `--ftps range`.
    pub passive: Vec<PortRange>,
    /// Whether `protected` is meant for UDP too.
    pub protect_udp: bool,
}

impl Default for PortPolicy {
    /// The defaults of the command line: 1024-65535 protected for TCP and UDP, 21 and 990.
    fn default() -> Self {
        Self {
            protected: vec![PortRange {
                first: 1024,
                last: u16::MAX,
            }],
            open: Vec::new(),
            control: vec![21],
            implicit_tls: vec![990],
            passive: Vec::new(),
            protect_udp: true,
        }
    }
}

impl PortPolicy {
    /// The ports of implicit FTPS: those of the flags, or else of the file, or else 990 unless it was made a
    /// plain control port.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for `none` beside a port.
    pub fn implicit_tls(
        flags: &[ImplicitTls],
        file: Option<Vec<u16>>,
        control: &[u16],
    ) -> Result<Vec<u16>, UsageError> {
        let default = || match control.contains(&DEFAULT_IMPLICIT_TLS) {
            true => Vec::new(),
            false => vec![DEFAULT_IMPLICIT_TLS],
        };
        let port = |flag: &ImplicitTls| match flag {
            ImplicitTls::None => None,
            ImplicitTls::Port(port) => Some(*port),
        };
        match flags {
            [] => Ok(file.unwrap_or_else(default)),
            [ImplicitTls::None] => Ok(Vec::new()),
            flags => flags
                .iter()
                .map(port)
                .collect::<Option<_>>()
                .ok_or_else(|| {
                    UsageError(
                        "--implicit-tls-port none is said beside a port: leave one out".to_owned(),
                    )
                }),
        }
    }

    /// Refuses what contradicts itself, or is of no use.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        if self.control.is_empty() && self.implicit_tls.is_empty() {
            let text = "control_ports and implicit_tls_ports are both empty: name the port of the FTP server";
            return Err(UsageError(text.to_owned()));
        }
        if self.protected.is_empty() {
            let text =
                "protect is empty: name the ports to protect, or leave it out for 1024-65535";
            return Err(UsageError(text.to_owned()));
        }
        match self
            .control
            .iter()
            .find(|port| self.implicit_tls.contains(port))
        {
            Some(port) => Err(UsageError(format!(
                "port {port} is both --control-port and --implicit-tls-port: it can only be one"
            ))),
            None => Ok(()),
        }
    }

    /// The bits of [`port`] for every port: 65,536 entries, by port in host byte order.
    #[must_use]
    pub fn table(&self) -> Vec<u32> {
        let mut table = vec![0; ALL_PORTS];
        let mut set = |port: u16, bits: u32| table[usize::from(port)] |= bits;
        let protect = port::PROTECTED_TCP
            | if self.protect_udp {
                port::PROTECTED_UDP
            } else {
                0
            };
        for range in &self.protected {
            (range.first..=range.last).for_each(|port| set(port, protect));
        }
        for open in &self.open {
            let bits = match open.transport {
                Transport::Tcp => port::OPEN_TCP,
                Transport::Udp => port::OPEN_UDP,
                Transport::Both => port::OPEN_TCP | port::OPEN_UDP,
            };
            (open.ports.first..=open.ports.last).for_each(|port| set(port, bits));
        }
        for range in &self.passive {
            (range.first..=range.last).for_each(|port| set(port, port::PASSIVE_RANGE));
        }
        // A control port in the protected range must be reachable, and is never a data port.
        self.control
            .iter()
            .for_each(|&port| set(port, port::CONTROL | port::OPEN_TCP));
        self.implicit_tls.iter().for_each(|&port| {
            set(port, port::CONTROL | port::IMPLICIT_TLS | port::OPEN_TCP);
        });
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_ports_parse() {
        assert_eq!(
            "1024-65535".parse(),
            Ok(PortRange {
                first: 1024,
                last: 65535
            })
        );
        assert_eq!(
            "2000".parse(),
            Ok(PortRange {
                first: 2000,
                last: 2000
            })
        );
        for bad in ["", "-", "1-", "-1", "2-1", "0-5", "1-65536", "1-2-3", "a-b"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn open_ports_are_single_or_ranges_with_or_without_a_protocol() {
        let open = |first, last, transport| {
            Ok(OpenPort {
                ports: PortRange { first, last },
                transport,
            })
        };
        assert_eq!("8080/tcp".parse(), open(8080, 8080, Transport::Tcp));
        assert_eq!("9000-9010/udp".parse(), open(9000, 9010, Transport::Udp));
        assert_eq!("9000-9010".parse(), open(9000, 9010, Transport::Both));
        for bad in [
            "/tcp",
            "80/",
            "80/TCP",
            "9010-9000/udp",
            "80/tcp/udp",
            "1-65536/tcp",
        ] {
            assert!(bad.parse::<OpenPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_is_open_to_both_its_ends_and_no_further() {
        let policy = PortPolicy {
            open: vec!["9000-9010/udp".parse().unwrap()],
            ..PortPolicy::default()
        };
        let table = policy.table();
        let open = |number: u16| table[usize::from(number)] & (port::OPEN_UDP | port::OPEN_TCP);
        assert_eq!([9000, 9005, 9010].map(open), [port::OPEN_UDP; 3]);
        assert_eq!([8999, 9011].map(open), [0; 2]);
    }

    #[test]
    fn the_table_protects_to_the_ends_and_opens_what_was_asked() {
        let policy = PortPolicy {
            open: vec!["8080/tcp".parse().unwrap(), "5353/udp".parse().unwrap()],
            control: vec![21, 2121],
            ..PortPolicy::default()
        };
        let table = policy.table();
        let protected = port::PROTECTED_TCP | port::PROTECTED_UDP;
        assert_eq!(table.len(), ALL_PORTS);
        assert_eq!(
            (table[1023], table[1024], table[65535]),
            (0, protected, protected)
        );
        assert_eq!(table[8080], protected | port::OPEN_TCP);
        assert_eq!(table[5353], protected | port::OPEN_UDP);
        assert_eq!(table[21], port::CONTROL | port::OPEN_TCP);
        assert_eq!(table[2121], protected | port::CONTROL | port::OPEN_TCP);
        assert_eq!(
            table[990],
            port::CONTROL | port::IMPLICIT_TLS | port::OPEN_TCP
        );
    }
}
