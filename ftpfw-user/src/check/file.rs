//! The configuration file.

use std::path::Path;

use nix::net::if_::if_nametoindex;

use super::{FileReport, Finding, Severity};
use crate::{
    cli::RunArgs,
    config::{
        Config,
        file::{File, FileError},
    },
};

/// Reads a file as `ftpfw run --config` would; and what it comes to, if it is right.
pub(super) fn check(path: &Path) -> (FileReport<'_>, Option<Config>) {
    let (mut findings, mut right) = (Vec::new(), None);
    match File::read(path) {
        Err(error) => findings.push(misread(error)),
        Ok(file) => {
            findings.extend(interfaces(&file));
            match Config::of(&RunArgs::default(), &file.keys) {
                Ok(config) => right = Some(config),
                Err(error) => findings.push(error_about_all(format!("{error:#}"))),
            }
        }
    }
    let entries = right.iter().flat_map(Config::entries);
    let report = FileReport {
        file: path,
        findings,
        configuration: entries.collect(),
    };
    (report, right)
}

fn misread(error: FileError) -> Finding {
    let (line, column) = error.position.unzip();
    Finding {
        severity: Severity::Error,
        line,
        column,
        message: error.message,
    }
}

fn error_about_all(message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        line: None,
        column: None,
        message,
    }
}

/// An interface that is not there may come, or be another host's: the file is right all the same.
fn interfaces(file: &File) -> Vec<Finding> {
    let warning = |line, column, message| Finding {
        severity: Severity::Warning,
        line,
        column,
        message,
    };
    let missing: Vec<_> = file
        .interfaces()
        .filter(|(name, _)| if_nametoindex(*name).is_err())
        .map(|(name, (line, column))| {
            let message = format!("interface {name} does not exist here");
            warning(Some(line), Some(column), message)
        })
        .collect();
    if file.interfaces().next().is_some() {
        return missing;
    }
    let message = "it names no interface to protect: `ftpfw run` needs --interface IFACE, \
                   or a line `interfaces = [\"IFACE\"]` here";
    vec![warning(None, None, message.to_owned())]
}
