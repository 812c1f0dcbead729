//! What the server does between what it says.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};

/// One `> ` line of a transcript.
///
/// | line | the server |
/// |---|---|
/// | `> listen PORT` | listens for a data connection |
/// | `> close` | closes that listener |
/// | `> connect` | accepts or dials the data connection, if there is none yet |
/// | `> transfer` | sends or takes the file, and closes the data connection |
/// | `> segments N` | sends what it says in segments of N bytes from now on |
/// | `> delay MS` | waits so many milliseconds before each segment from now on |
/// | `> hold` | keeps to itself what it says from now on |
/// | `> release` | sends that in one segment, and goes on as before |
/// | `> hang-up` | closes the control connection |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `listen`
    Listen(u16),
    /// `close`
    Close,
    /// `connect`
    Connect,
    /// `transfer`
    Transfer,
    /// `segments`
    Segments(usize),
    /// `delay`
    Delay(Duration),
    /// `hold`
    Hold,
    /// `release`
    Release,
    /// `hang-up`
    HangUp,
}

impl FromStr for Act {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || {
            rest.parse()
                .with_context(|| format!("{rest:?} is no number"))
        };
        Ok(match (verb, rest) {
            ("listen", _) => Self::Listen(number()?),
            ("segments", _) => Self::Segments(number()?.into()),
            ("delay", _) => Self::Delay(Duration::from_millis(number()?.into())),
            ("close", "") => Self::Close,
            ("connect", "") => Self::Connect,
            ("transfer", "") => Self::Transfer,
            ("hold", "") => Self::Hold,
            ("release", "") => Self::Release,
            ("hang-up", "") => Self::HangUp,
            _ => bail!("no server does {line:?}"),
        })
    }
}
