//! Values that are written as text in the file as they are on the command line.

use std::{
    fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, str::FromStr as _, time::Duration,
};

use clap::ValueEnum;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use crate::{
    cli,
    config::{InterfaceArg, OpenPort, PassivePorts, PortRange, ports},
};

/// A value read by [`Notation::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T>(pub T);

/// How a value is written.
pub trait Notation: Sized {
    /// A bare number does too.
    const NUMBER: bool = false;

    /// Reads it.
    fn read(text: &str) -> Result<Self, String>;

    /// What to write, for who wrote something else.
    fn wanted() -> String;
}

impl<'de, T: Notation> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text(PhantomData))
    }
}

struct Text<T>(PhantomData<T>);

impl<T: Notation> Visitor<'_> for Text<T> {
    type Value = Written<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::wanted())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let wrong = |error| E::custom(format!("{error}; write {}", T::wanted()));
        T::read(text).map(Written).map_err(wrong)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        if T::NUMBER {
            return self.visit_str(&number.to_string());
        }
        Err(E::custom(format!(
            "{number} is a bare number; write {}",
            T::wanted()
        )))
    }
}

impl Notation for InterfaceArg {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn wanted() -> String {
        "an interface, with its mode if that is not the others': \"eth0\" or \"eth1:tc\"".to_owned()
    }
}

/// A port, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Notation for Port {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        ports::port_number(text).map(Self)
    }

    fn wanted() -> String {
        "a port, 1 to 65535".to_owned()
    }
}

/// How many of something there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

impl Notation for Count {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        cli::count(text).map(Self)
    }

    fn wanted() -> String {
        "a number such as 65536".to_owned()
    }
}

impl Notation for PortRange {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn wanted() -> String {
        "ports such as \"1024-65535\" or 8080".to_owned()
    }
}

impl Notation for OpenPort {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn wanted() -> String {
        "ports such as \"8080/tcp\", \"9000-9010/udp\", or 5353 for both protocols".to_owned()
    }
}

impl Notation for PassivePorts {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text)
    }

    fn wanted() -> String {
        "a range such as \"50000-50100\", or \"auto\"".to_owned()
    }
}

/// One of the words that the command line knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: ValueEnum> Notation for Word<T> {
    fn read(text: &str) -> Result<Self, String> {
        T::from_str(text, false)
            .map(Self)
            .map_err(|_| format!("{text:?} is no value for this"))
    }

    fn wanted() -> String {
        let words: Vec<_> = T::value_variants()
            .iter()
            .filter_map(|word| Some(format!("\"{}\"", word.to_possible_value()?.get_name())))
            .collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// A path from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsolutePath(pub PathBuf);

impl Notation for AbsolutePath {
    fn read(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        if path.is_absolute() {
            return Ok(Self(path));
        }
        Err(format!("{text:?} does not begin at the root"))
    }

    fn wanted() -> String {
        "an absolute path, such as \"/run/ftpfw/agent.sock\"".to_owned()
    }
}

impl Notation for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is no address with a port"))
    }

    fn wanted() -> String {
        "an address with a port, such as \"127.0.0.1:9100\" or \"[::1]:9100\"".to_owned()
    }
}

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl Lifetime {
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30 * 86_400);

    /// In ns, as the maps have it.
    #[must_use]
    pub fn ns(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Notation for Lifetime {
    fn read(text: &str) -> Result<Self, String> {
        let lifetime = cli::age(text).map_err(|_| format!("{text:?} is no time"))?;
        if (Self::LEAST..=Self::MOST).contains(&lifetime) {
            return Ok(Self(lifetime));
        }
        Err(format!("{text} is too short or too long"))
    }

    fn wanted() -> String {
        "a time with its unit, such as \"120s\", \"5m\" or \"1h\", at least 1s and at most 30d"
            .to_owned()
    }
}
