//! The passive range of FTP daemons, as given or as they have it in their configuration.

use std::{fs, str::FromStr};

use anyhow::bail;

use super::PortRange;

/// `--passive-ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassivePorts {
    /// This one.
    Range(PortRange),
    /// What the daemons' configuration says.
    Auto,
}

impl FromStr for PassivePorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            range => range.parse().map(Self::Range),
        }
    }
}

/// Where a daemon's configuration is, and how to read it.
struct Daemon {
    /// How the name of its process begins.
    name: &'static str,
    files: &'static [&'static str],
    read: fn(&str) -> Option<PortRange>,
}

const DAEMONS: [Daemon; 4] = [
    Daemon {
        name: "vsftpd",
        files: &["/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf"],
        read: vsftpd,
    },
    Daemon {
        name: "proftpd",
        files: &["/etc/proftpd/proftpd.conf", "/etc/proftpd.conf"],
        read: proftpd,
    },
    Daemon {
        name: "pure-ftpd",
        files: &["/etc/pure-ftpd/conf/PassivePortRange"],
        read: two_numbers,
    },
    Daemon {
        name: "pure-ftpd",
        files: &["/etc/pure-ftpd.conf", "/etc/pure-ftpd/pure-ftpd.conf"],
        read: pure_ftpd,
    },
];

impl Daemon {
    fn configured(&self) -> impl Iterator<Item = (&'static str, PortRange)> {
        self.files.iter().filter_map(|file| {
            let range = (self.read)(&fs::read_to_string(file).ok()?)?;
            Some((*file, range))
        })
    }
}

/// The passive ranges that are configured on this host.
///
/// # Errors
///
/// When none is, with the files that were looked at.
pub fn configured() -> anyhow::Result<Vec<PortRange>> {
    let found = DAEMONS.iter().flat_map(Daemon::configured);
    let found: Vec<_> = found.map(|(_, range)| range).collect();
    if found.is_empty() {
        let files: Vec<_> = DAEMONS.iter().flat_map(|it| it.files).copied().collect();
        bail!(
            "no passive range is configured in {}: name it, --passive-ports LO-HI",
            files.join(", ")
        );
    }
    Ok(found)
}

/// The passive range of a daemon, by the name of its process, and the file that says so. `None` for an
/// unknown daemon, and for one whose configuration is not where it usually is, or names none.
#[must_use]
pub fn of_daemon(process: &str) -> Option<(&'static str, PortRange)> {
    let known = DAEMONS.iter().filter(|it| process.starts_with(it.name));
    known.flat_map(Daemon::configured).next()
}

/// `pasv_min_port=50000` and `pasv_max_port=50100`, without blanks (vsftpd.conf(5)).
fn vsftpd(text: &str) -> Option<PortRange> {
    let value = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        values.next_back()?.strip_prefix('=')?.trim().parse().ok()
    };
    range(value("pasv_min_port")?, value("pasv_max_port")?)
}

/// `PassivePorts 50000 50100` (proftpd's mod_core).
fn proftpd(text: &str) -> Option<PortRange> {
    directive(text, "PassivePorts")
}

/// `PassivePortRange 50000 50100` (pure-ftpd.conf).
fn pure_ftpd(text: &str) -> Option<PortRange> {
    directive(text, "PassivePortRange")
}

fn directive(text: &str, name: &str) -> Option<PortRange> {
    text.lines()
        .filter_map(|line| {
            let (word, rest) = line.trim().split_once(char::is_whitespace)?;
            word.eq_ignore_ascii_case(name).then(|| two_numbers(rest))?
        })
        .next_back()
}

fn two_numbers(text: &str) -> Option<PortRange> {
    let mut numbers = text
        .split([' ', '\t', ':', '\n'])
        .filter(|word| !word.is_empty());
    range(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?)
}

fn range(first: u16, last: u16) -> Option<PortRange> {
    (first > 0 && first <= last).then_some(PortRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_daemons_do() {
        let expected = range(50_000, 50_100);
        let text =
            "anonymous_enable=YES\npasv_min_port=1\npasv_min_port=50000\npasv_max_port=50100\n";
        assert_eq!(vsftpd(text), expected);
        assert_eq!(vsftpd("#pasv_min_port=50000\npasv_max_port=50100\n"), None);
        let text = "ServerName x\n  passiveports\t50000 50100\n# PassivePorts 1 2\n";
        assert_eq!(proftpd(text), expected);
        assert_eq!(proftpd("PassivePorts 50100 50000\n"), None);
        assert_eq!(two_numbers("50000 50100\n"), expected);
        assert_eq!(pure_ftpd("PassivePortRange 50000 50100"), expected);
        assert_eq!(pure_ftpd("# PassivePortRange 50000 50100"), None);
    }
}
