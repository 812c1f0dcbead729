//! Replies on a control connection.

use anyhow::{Context as _, Result, anyhow};

/// A reply of the server: its code and every line of it (RFC 959 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The lines, codes included, without line ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// The port in a `227`: the fifth and sixth number. The four of the address are not looked at,
    /// as no careful client does.
    ///
    /// # Errors
    /// When there are no six numbers.
    pub fn port_of_227(&self) -> Result<u16> {
        let line = self.last();
        let inside = line
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'));
        let (numbers, _) = inside.with_context(|| format!("no parentheses in {line:?}"))?;
        let numbers: Vec<u8> = numbers
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context(line.to_owned())?;
        match numbers[..] {
            [_, _, _, _, high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(anyhow!("not six numbers in {line:?}")),
        }
    }

    /// The port in a `229` (RFC 2428 §3).
    ///
    /// # Errors
    /// When there is none.
    pub fn port_of_229(&self) -> Result<u16> {
        let line = self.last();
        let port = line
            .split_once("(|||")
            .and_then(|(_, rest)| rest.split_once("|)"));
        let (port, _) = port.with_context(|| format!("no (|||port|) in {line:?}"))?;
        port.parse().with_context(|| line.to_owned())
    }

    fn last(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Reply {
        Reply {
            code: 0,
            lines: vec![line.to_owned()],
        }
    }

    #[test]
    fn ports_of_passive_replies() {
        let pasv = reply("227 Entering Passive Mode (10,77,0,1,87,63).");
        assert_eq!(pasv.port_of_227().ok(), Some(87 * 256 + 63));
        assert_eq!(
            reply("229 Extended (|||40001|)").port_of_229().ok(),
            Some(40001)
        );
        assert!(reply("227 (1,2,3,4,5)").port_of_227().is_err());
        assert!(reply("229 none").port_of_229().is_err());
    }
}
