//! lftp.

use anyhow::Result;

use super::{Action, Call, Mode, Prepared, SEGMENTS, command};
use crate::server::{PASSWORD, USER};
use crate::tls::{Protection, Tls};
use crate::wait::factor;

pub fn prepare(call: &Call<'_>) -> Result<Prepared> {
    let on_off = |on| if on { "on" } else { "off" };
    let security = call.security;
    let script = format!(
        "set cmd:fail-exit on; set net:max-retries 1; set net:timeout {timeout}; \
         set net:reconnect-interval-base 1; \
         set ftp:ssl-allow {tls}; set ftp:ssl-force {tls}; set ssl:verify-certificate no; \
         set ftp:ssl-protect-data {private}; set ftp:ssl-protect-list {private}; \
         set ftp:ssl-use-ccc {ccc}; set ftp:passive-mode {passive}; set ftp:prefer-epsv {epsv}; \
         set ftp:auto-passive-mode off; set xfer:clobber on; \
         open -u {USER},{PASSWORD} {url}; {action}",
        timeout = 10 * factor(),
        tls = on_off(security.tls != Tls::Off),
        private = on_off(security.protection == Protection::Private),
        ccc = on_off(security.ccc),
        passive = on_off(call.mode.is_passive()),
        epsv = on_off(call.mode == Mode::Epsv),
        url = call.url(""),
        action = action(call),
    );
    let mut lftp = command("lftp")?;
    lftp.args(["-d", "--norc", "-c", &script]);
    Ok(Prepared::new(lftp, vec![call.local()]))
}

fn action(call: &Call<'_>) -> String {
    let local = call.local();
    let local = local.display();
    match call.action {
        Action::List => format!("ls > {local}"),
        Action::Download(name) => format!("get {name} -o {local}"),
        Action::Upload(name, _) => format!("put {local} -o {name}"),
        Action::Resume(name, _) => format!("get -c {name} -o {local}"),
        // At full speed the first connection has the whole of it before the others are logged in.
        Action::Segments(name, _) => format!(
            "set pget:min-chunk-size 1000; set net:limit-rate 100000; set net:limit-max 30000; \
             pget -n {SEGMENTS} {name} -o {local}"
        ),
        // The pipe breaks.
        Action::Abort(large, name) => format!(
            "set cmd:fail-exit off; cat {large} | head -c 1000 > {aside}; set cmd:fail-exit on; \
             get {name} -o {local}",
            aside = call.aside().display(),
        ),
    }
}
