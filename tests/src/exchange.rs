//! Whole transfers over a control connection that stays, in any mode.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};

use crate::client::Mode;
use crate::control::{Control, Negotiated, read_all};
use crate::secret::Wire;

/// RETR of a file; `private`: the data connection is encrypted (PROT P).
///
/// # Errors
/// When the server refuses or the data connection does not come about.
pub fn download(
    control: &mut Control<'_>,
    mode: Mode,
    private: bool,
    name: &str,
) -> Result<Vec<u8>> {
    let data = begin(control, mode, &format!("RETR {name}"))?;
    let bytes = match private {
        true => read_all(&mut Wire::secret(data)?)?,
        false => read_all(&mut { data })?,
    };
    complete(control)?;
    Ok(bytes)
}

/// STOR of a file, without encryption of the data connection.
///
/// # Errors
/// As [`download`].
pub fn upload(control: &mut Control<'_>, mode: Mode, name: &str, bytes: &[u8]) -> Result<()> {
    let mut data = begin(control, mode, &format!("STOR {name}"))?;
    data.write_all(bytes)?;
    drop(data);
    complete(control)
}

/// Negotiates, sends the command and opens the data connection, whichever end dials.
///
/// # Errors
/// As [`download`].
pub fn begin(control: &mut Control<'_>, mode: Mode, command: &str) -> Result<TcpStream> {
    let negotiated = control.negotiate(mode)?;
    let data = match negotiated {
        Negotiated::Dial(_) => {
            let data = control.data(&negotiated)?;
            control.send(command)?;
            data
        }
        Negotiated::Accept(_) => {
            control.send(command)?;
            control.data(&negotiated)?
        }
    };
    let reply = control.reply().context("before the transfer")?;
    ensure!(reply.code == 150, "instead of 150: {reply:?}");
    Ok(data)
}

fn complete(control: &mut Control<'_>) -> Result<()> {
    let reply = control.reply().context("after the transfer")?;
    ensure!(reply.code == 226, "instead of 226: {reply:?}");
    Ok(())
}
