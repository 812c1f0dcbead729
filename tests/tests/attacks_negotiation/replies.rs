//! ATTACKS 3-8, 10, 14, 15: what reads as an announcement and is none.

use anyhow::Result;
use ftpfw_tests::lab::Family;

use crate::{Row, refused};

/// One reply to PASV or EPSV a row, all refused alike.
fn bad_replies(command: &str, replies: &[&str], refusal: &str) -> Result<()> {
    let command = format!("C {command}");
    let scripts: Vec<_> = replies.iter().map(|reply| [&command, *reply]).collect();
    let rows: Vec<Row<'_>> = scripts
        .iter()
        .map(|script| (script.as_slice(), std::slice::from_ref(&refusal)))
        .collect();
    refused(Family::V4, &rows)
}

#[test]
fn a03_privileged_port() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode ({s},0,22)",
            "S 227 Entering Passive Mode ({s},3,255)",
        ],
        "low-port",
    )
}

#[test]
fn a05_octet_overflow() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode (10,0,1,2,256,22)",
            // As a u16 and a u8 that wrap this is port 50000.
            "S 227 Entering Passive Mode ({s},451,80)",
            "S 227 Entering Passive Mode ({s},195,336)",
            "S 227 Entering Passive Mode (266,64,0,1,195,80)",
        ],
        "overflow",
    )
}

#[test]
fn a06_port_overflow() -> Result<()> {
    bad_replies(
        "EPSV",
        &[
            "S 229 Entering Extended Passive Mode (|||65558|)",
            "S 229 Entering Extended Passive Mode (|||1000000|)",
            // 50000 + 2^16, and + 2^32 (more digits than any port).
            "S 229 Entering Extended Passive Mode (|||115536|)",
        ],
        "overflow",
    )?;
    bad_replies(
        "EPSV",
        &["S 229 Entering Extended Passive Mode (|||4295017296|)"],
        "wrong-number",
    )
}

#[test]
fn a07_zero() -> Result<()> {
    bad_replies(
        "PASV",
        &["S 227 Entering Passive Mode ({s},0,0)"],
        "low-port",
    )?;
    bad_replies(
        "EPSV",
        &["S 229 Entering Extended Passive Mode (|||0|)"],
        "low-port",
    )
}

#[test]
fn a07_empty_sign_five_seven() -> Result<()> {
    bad_replies(
        "PASV",
        &[
            "S 227 Entering Passive Mode ({s},195)",
            "S 227 Entering Passive Mode ({s},{p},1)",
            "S 227 Entering Passive Mode ({s},-195,80)",
            "S 227 Entering Passive Mode ({s},,80)",
            "S 227 Entering Passive Mode ({s},195,)",
            "S 227 Entering Passive Mode (,,,,,)",
            "S 227 Entering Passive Mode",
            // Two that disagree: clients differ on which they take.
            "S 227 Entering Passive Mode ({s},{p}) ({s},{q})",
        ],
        "wrong-number",
    )?;
    bad_replies(
        "EPSV",
        &[
            "S 229 Entering Extended Passive Mode (||||)",
            "S 229 Entering Extended Passive Mode (|||-50000|)",
            "S 229 Entering Extended Passive Mode (||50000|)",
            "S 229 Entering Extended Passive Mode (||!50000|)",
        ],
        "wrong-number",
    )
}

#[test]
fn a08_echo_in_an_error_begins_with_227() -> Result<()> {
    refused(
        Family::V4,
        &[
            (&["C CWD x", "S 227 Entering ({s},{p})"], &["no-command"]),
            (&["C STAT x", "S 229 Extended (|||50000|)"], &["no-command"]),
            // No command at all, and one that was answered already.
            (&["S 227 Entering ({s},{p})"], &["no-command"]),
            (
                &["C PASV", "S 425 no", "S 227 Entering ({s},{p})"],
                &["no-command"],
            ),
        ],
    )
}

#[test]
fn a10_text_in_a_multi_line_reply() -> Result<()> {
    refused(
        Family::V4,
        &[
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
            (
                &[
                    "C HELP",
                    "C PASV",
                    "S 214-help",
                    "S 227 Entering ({s},{p})",
                    "S 214 end",
                    "S 425 no",
                ],
                &[],
            ),
            // Another code, or the same with no space behind it, ends nothing.
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 200 end",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
            (
                &[
                    "C PASV",
                    "S 425-help",
                    "S 4250",
                    "S 227 Entering ({s},{p})",
                    "S 425 end",
                ],
                &[],
            ),
        ],
    )
}

#[test]
fn a14_client_says_227_and_server_says_port() -> Result<()> {
    refused(
        Family::V4,
        &[
            (
                &[
                    "C PASV",
                    "C 227 Entering ({s},{p})",
                    "S 425 no",
                    "S 500 what",
                ],
                &[],
            ),
            (&["C NOOP", "S PORT {c},{p}", "S 200 ok"], &[]),
            (&["C NOOP", "S EPRT |1|{client}|50000|", "S 200 ok"], &[]),
        ],
    )
}

#[test]
fn a15_refused_pasv_announces_nothing() -> Result<()> {
    refused(
        Family::V4,
        &[
            (&["C PASV", "S 425 227 Entering ({s},{p})"], &[]),
            (&["C EPSV", "S 522 (|||50000|)"], &[]),
        ],
    )
}
