//! curl.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Action, Call, Mode, Prepared, SEGMENTS, command};
use crate::server::{PASSWORD, USER};
use crate::tls::{Protection, Tls};
use crate::wait::factor;

/// What is asked for of a file that shall be aborted: curl says ABOR when it has that much.
const BEGINNING: RangeInclusive<usize> = 0..=99_999;

pub fn prepare(call: &Call<'_>) -> Result<Prepared> {
    let mut curl = command("curl")?;
    let local = call.local();
    let mut files = vec![local.clone()];
    let both = |name: &str| {
        [
            "--output".to_owned(),
            local.display().to_string(),
            call.url(name),
        ]
    };
    match call.action {
        Action::List => one(&mut curl, call, both("")),
        Action::Download(name) => one(&mut curl, call, both(name)),
        Action::Upload(name, _) => {
            let upload = ["--upload-file".to_owned(), local.display().to_string()];
            one(&mut curl, call, upload.into_iter().chain([call.url(name)]));
        }
        Action::Resume(name, have) => {
            let from = ["--continue-at".to_owned(), have.len().to_string()];
            one(&mut curl, call, from.into_iter().chain(both(name)));
        }
        Action::Segments(name, size) => {
            files = segments(&mut curl, call, name, size);
        }
        Action::Abort(large, name) => {
            one(
                &mut curl,
                call,
                range(call, large, BEGINNING, &call.aside()),
            );
            curl.arg("--next");
            one(&mut curl, call, both(name));
        }
    }
    Ok(Prepared::new(curl, files))
}

/// All parts at once, each into a file of its own.
fn segments(curl: &mut Command, call: &Call<'_>, name: &str, size: usize) -> Vec<PathBuf> {
    curl.args(["--parallel", "--parallel-immediate"]);
    let bound = |part: usize| part * size / SEGMENTS;
    (0..SEGMENTS)
        .map(|part| {
            if part > 0 {
                curl.arg("--next");
            }
            let file = call.directory.join(format!("part-{part}"));
            one(
                curl,
                call,
                range(call, name, bound(part)..=bound(part + 1) - 1, &file),
            );
            file
        })
        .collect()
}

/// Some bytes of a file.
fn range(call: &Call<'_>, name: &str, bytes: RangeInclusive<usize>, file: &Path) -> [String; 5] {
    [
        "--range".to_owned(),
        format!("{}-{}", bytes.start(), bytes.end()),
        "--output".to_owned(),
        file.display().to_string(),
        call.url(name),
    ]
}

/// The options that each transfer of a command line needs again, and those of this one.
fn one(curl: &mut Command, call: &Call<'_>, own: impl IntoIterator<Item = String>) {
    let security = call.security;
    curl.args(["--silent", "--show-error", "--verbose", "--globoff"]);
    curl.args(["--max-time", &(20 * factor()).to_string()]);
    curl.args(match call.mode {
        Mode::Pasv => ["--ftp-pasv", "--disable-epsv"].as_slice(),
        Mode::Epsv => &["--ftp-pasv"],
        Mode::Port => &["--ftp-port", "-", "--disable-eprt"],
        Mode::Eprt => &["--ftp-port", "-"],
    });
    // Nobody has signed the certificate.
    curl.args(["--insecure", "--user", &format!("{USER}:{PASSWORD}")]);
    curl.args(match (security.tls, security.protection) {
        (Tls::Off, _) => [].as_slice(),
        (_, Protection::Private) => &["--ssl-reqd"],
        // TLS for the control connection alone.
        (_, Protection::Clear) => &["--ftp-ssl-control"],
    });
    if security.ccc {
        curl.args(["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "active"]);
    }
    curl.args(own);
}
