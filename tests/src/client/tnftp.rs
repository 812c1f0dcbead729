//! tnftp, the BSDs' `ftp`: a script on its standard input.

use std::fs::{self, File};
use std::path::Path;
use std::process::Child;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{Action, Call, Mode, Prepared, command};
use crate::server::{PASSWORD, USER};
use crate::wait;

pub fn prepare(call: &Call<'_>) -> Result<Prepared> {
    let local = call.local();
    let file = local.display();
    let deed = match call.action {
        Action::List => format!("ls . {file}"),
        Action::Download(name) => format!("get {name} {file}"),
        Action::Upload(name, _) => format!("put {file} {name}"),
        Action::Resume(name, _) => format!("reget {name} {file}"),
        // Slowly, so that there is a middle; `interrupt` comes there.
        Action::Abort(large, name) => format!(
            "rate get 1m\nget {large} {}\nrate get 0\nget {name} {file}",
            call.aside().display()
        ),
        Action::Segments(..) => bail!("tnftp has one connection"),
    };
    // Otherwise it would try EPSV and EPRT first, over IPv4 too.
    let extended = match call.mode {
        Mode::Epsv | Mode::Eprt => "on",
        Mode::Pasv | Mode::Port => "off",
    };
    let script = call.directory.join("script");
    fs::write(
        &script,
        format!("user {USER} {PASSWORD}\nbinary\nepsv4 {extended}\n{deed}\nquit\n"),
    )?;
    let mut tnftp = command("tnftp")?;
    tnftp.args(["-n", "-v", "-d", "-i", "-g"]);
    tnftp.args(["-q", &(10 * wait::factor()).to_string()]);
    tnftp.arg(if call.mode.is_passive() { "-p" } else { "-A" });
    tnftp.args([call.server.0.to_string(), call.server.1.to_string()]);
    tnftp.stdin(File::open(script)?);
    Ok(Prepared::new(tnftp, vec![local]))
}

/// ^C as soon as something of the file is there: it says ABOR, and goes on with its script.
pub fn interrupt(tnftp: &mut Child, file: &Path) -> Result<()> {
    let begun = || fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0);
    let in_the_middle = wait::until("tnftp to receive something", || {
        let ended = tnftp.try_wait()?.is_some();
        Ok((ended || begun()).then_some(!ended))
    })?;
    if in_the_middle {
        kill_process(Pid::from_child(tnftp), Signal::INT)?;
    }
    Ok(())
}
