//! Files that are no captures, and what a user may type: the real binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::place;
use serde_json::Value;
use tempfile::TempDir;

use crate::{packets, table::here};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const CAPTURE: &str = "proftpd.ftplib-pasv.v4.pcap";

fn ftpfw(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(place::program()?);
    Ok(command.arg("replay").args(words).output()?)
}

/// One clear sentence with all of these words, and nothing else.
fn refused(words: &[&str], code: i32, says: &[&str]) -> Result<()> {
    let output = ftpfw(words)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{words:?}: {}: {stderr}",
        output.status
    );
    for part in says {
        ensure!(stderr.contains(part), "{words:?}: no {part:?} in: {stderr}");
    }
    ensure!(code == USAGE || stderr.lines().count() == 1, "{stderr}");
    ensure!(
        !stderr.contains("panicked") && output.stdout.is_empty(),
        "{output:?}"
    );
    Ok(())
}

/// A file of these bytes; replaying it fails with the file's name and these words.
fn bad(directory: &Path, name: &str, bytes: &[u8], says: &[&str]) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, bytes)?;
    let path = path.to_str().context("a path in UTF-8")?;
    refused(&[path], FAILED, &[&[path], says].concat())?;
    refused(&[path, "--json"], FAILED, &[path])
}

/// A pcap file header: this link type, no packets.
fn header(link: u8) -> Vec<u8> {
    let mut header = packets::pcap(&[]);
    header[20] = link;
    header
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() -> Result<()> {
    let directory = TempDir::new()?;
    let at = directory.path();
    let capture = fs::read(here().join(CAPTURE))?;
    bad(at, "empty", b"", &["is empty"])?;
    bad(
        at,
        "text",
        b"220 hello, this is no capture\r\n",
        &["neither pcap nor pcapng"],
    )?;
    bad(at, "zeros", &[0; 4096], &["neither pcap nor pcapng"])?;
    bad(
        at,
        "short-header",
        &capture[..20],
        &["cut off inside its file header"],
    )?;
    bad(
        at,
        "two-bytes",
        &capture[..2],
        &["cut off inside its file header"],
    )?;
    bad(at, "no-packets", &header(1), &["holds no packets"])?;
    bad(
        at,
        "wifi",
        &header(105),
        &["not a capture of Ethernet", "105"],
    )?;
    bad(
        at,
        "usb",
        &header(220),
        &["not a capture of Ethernet", "220"],
    )?;
    bad(
        at,
        "cut-off",
        &capture[..capture.len() - 5],
        &["cut off", "in the middle of a packet", "after 74 packets"],
    )?;
    let mut huge = header(1);
    for word in [0, 0, u32::MAX, u32::MAX] {
        huge.extend(word.to_le_bytes());
    }
    bad(at, "cut-off-huge", &huge, &["cut off"])?;
    huge.resize(20 << 20, 0);
    bad(at, "huge", &huge, &["damaged", "16 MB", "after 0 packets"])
}

/// Wherever a capture is cut off, it is read to there without a panic and said to be cut off.
#[test]
fn a_capture_cut_anywhere_is_cut_off() -> Result<()> {
    let capture = fs::read(here().join(CAPTURE))?;
    let directory = TempDir::new()?;
    let path = directory.path().join("cut");
    let policy = ftpfw_user::config::PortPolicy::default();
    for length in (0..capture.len()).step_by(31) {
        fs::write(&path, &capture[..length])?;
        let error = match ftpfw_user::replay::report(&path, &[], &policy) {
            // Between two packets.
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        let clear = [
            "cut off",
            "is empty",
            "holds no packets",
            "no FTP server speaks",
        ];
        ensure!(
            clear.iter().any(|words| error.contains(words)),
            "{length} bytes: {error}"
        );
    }
    Ok(())
}

#[test]
fn a_file_of_another_kind() -> Result<()> {
    let directory = TempDir::new()?;
    let missing = directory.path().join("missing");
    let missing = missing.to_str().context("a path in UTF-8")?;
    refused(&[missing], FAILED, &[missing, "No such file"])?;
    let path = directory.path().to_str().context("a path in UTF-8")?;
    refused(&[path], FAILED, &[path, "not a regular file"])
}

#[test]
fn wrong_usage() -> Result<()> {
    let capture = capture()?;
    refused(&[], USAGE, &["<FILE>"])?;
    refused(
        &[&capture, "--control-port", "0"],
        USAGE,
        &["--control-port"],
    )?;
    refused(&[&capture, "--server", "nobody"], USAGE, &["--server"])?;
    let both = ["--control-port", "990", "--implicit-tls-port", "990"];
    refused(&[&[capture.as_str()][..], &both].concat(), USAGE, &["990"])
}

#[test]
fn a_server_that_cannot_be_found() -> Result<()> {
    let says = ["no FTP server", "2121", "--server", "--control-port"];
    refused(&[&capture()?, "--control-port", "2121"], FAILED, &says)
}

fn capture() -> Result<String> {
    let path: PathBuf = here().join(CAPTURE);
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

#[test]
fn a_named_server_is_the_only_one() -> Result<()> {
    let output = ftpfw(&[&capture()?, "--server", "10.77.0.9", "--json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["servers"], serde_json::json!(["10.77.0.9"]));
    assert_eq!(report["sessions"], serde_json::json!([]));
    assert_eq!(report["unjudged"], report["packets"]);
    Ok(())
}

#[test]
fn the_table_says_what_was_armed_and_hides_passwords() -> Result<()> {
    let output = ftpfw(&[&capture()?])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    for words in [
        "user ftpmu, 5 transfers",
        "PASS ****",
        "227 Entering Passive Mode (10,77,0,1,",
        "claimed after",
        "passive        1  pass     tuple",
    ] {
        ensure!(text.contains(words), "no {words:?} in:\n{text}");
    }
    ensure!(!text.contains("ftpmpw"), "{text}");
    ensure!(text.lines().all(|line| line.trim_end() == line), "{text}");
    Ok(())
}

#[test]
fn names_in_json_are_stable() -> Result<()> {
    let output = ftpfw(&[&capture()?, "--json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let session = &report["sessions"][0];
    for (value, names) in [
        (
            &report,
            "connections cut_short drop duration_us file negotiations packets pass refused servers \
             sessions unjudged",
        ),
        (
            session,
            "adopted at_us client client_port commands ended_at_us gaps id negotiations out_of_order \
             refusals retransmitted server server_port tls transfers user",
        ),
        (&session["commands"][0], "at_us line"),
        (
            &session["negotiations"][0],
            "at_us by ended_at_us line mode outcome port",
        ),
        (
            &report["connections"][0],
            "at_us client client_port dropped established mode passed reason server server_port \
             session tls verdict",
        ),
    ] {
        let found: Vec<_> = value.as_object().into_iter().flatten().collect();
        let mut found: Vec<_> = found.into_iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), names);
    }
    Ok(())
}

/// `ftpfw replay … | head -1`.
#[test]
fn a_reader_that_goes_away_is_no_error() -> Result<()> {
    let mut child = Command::new(place::program()?)
        .args(["replay", &capture()?])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    Ok(())
}

/// No capability is needed, not even by root.
#[test]
fn it_needs_no_privilege() -> Result<()> {
    let output = Command::new("setpriv")
        .args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"])
        .arg(place::program()?)
        .args(["replay", &capture()?])
        .output()
        .context("setpriv")?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}
