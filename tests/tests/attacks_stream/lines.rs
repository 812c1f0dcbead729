//! ATTACKS 11, 12, 22, 36, 41: what is a line, and what is inside one.

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::scene::{PORT, Scene};

/// Scripts that arm nothing and are refused nothing, on a connection of their own each.
fn ignored(rows: &[&[&str]]) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    for script in rows {
        let mut talk = scene.logged_in()?;
        scene
            .arms_nothing(&mut talk, script, &[])
            .and_then(|()| scene.still_works(&mut talk))
            .with_context(|| format!("{script:?}"))?;
    }
    Ok(())
}

#[test]
fn a11_injected_command() -> Result<()> {
    ignored(&[
        // As segments: each `c` is sent, and read by the server, before the next.
        &["c CWD xxxx", "C PORT {c},{p}", "S 550 no"],
        &["c PASS xxxx", "C EPRT |1|{client}|50000|", "S 230 in"],
        &["c CWD ", "c PASV\r", "c \n", "S 550 no"],
        &["c RETR a b", "c \rPORT {c},{p}\r\n", "S 550 no"],
    ])
}

#[test]
fn a11_injected_pasv_answers_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let script = ["c CWD xxxx", "C PASV", "S 227 Entering ({s},{p})"];
    scene.arms_nothing(&mut talk, &script, &["no-command"])?;
    scene.still_works(&mut talk)
}

#[test]
fn a12_cr_nul() -> Result<()> {
    ignored(&[
        &["c RETR a\r\0PORT {c},{p}\r\n", "S 550 no"],
        &["c RETR a\r\0\r\0EPRT |1|{client}|50000|\r\n", "S 550 no"],
        // In a reply: the line goes on behind it.
        &["C PASV", "s 425 no\r\x00227 Entering ({s},{p})\r\n"],
    ])
}

#[test]
fn a22_telnet() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    // IAC IP IAC DM, then the command; sequences cut anywhere.
    for cut in [0, 1, 3, 5] {
        let (head, tail) = b"\xff\xf4\xff\xf2PASV\r\n".split_at(cut);
        talk.c(head)?;
        talk.c(tail)?;
        scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
        scene.armed()?;
        scene.transfer(&mut talk)?;
    }
    let line = scene.fill("PORT {c},{p}\r\n");
    for (head, nop, tail) in [
        ("PO", b"\xff\xf1", &line[2..]),
        ("PORT ", b"\xff\xf1", &line[5..]),
    ] {
        talk.c(head.as_bytes())?;
        talk.c(&nop[..1])?;
        talk.c(&nop[1..])?;
        talk.c(tail.as_bytes())?;
        ensure!(scene.only_tuple()?.client_port == Some(PORT));
        talk.s(b"500 no\r\n")?;
    }
    // What vanishes joins nothing that was apart: this is CWD of a name.
    let line = scene.fill("CWD \u{1}PORT {c},{p}\r\n").replace('\u{1}', "");
    talk.c(b"CWD \xff\xf1")?;
    talk.c(&line.as_bytes()[4..])?;
    scene.arms_nothing(&mut talk, &["S 550 no"], &[])
}

#[test]
fn a36_monster_line() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let monster = vec![b'x'; 1 << 16];
    let before = scene.firewall.stats()?;
    for verb in ["CWD ", "PASV ", ""] {
        talk.c(verb.as_bytes())?;
        for chunk in monster.chunks(8192) {
            talk.c(chunk)?;
        }
        scene.play(&mut talk, &["c PORT {c},{p}\r\n", "S 500 what"])?;
    }
    for chunk in monster.chunks(8192) {
        talk.s(chunk)?;
    }
    scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
    // A long PASV is one more refused.
    scene.nothing_since(&before, &["too-long"])?;
    scene.still_works(&mut talk).context("once it is clean")
}

#[test]
fn a36_long_lines_and_nuls_arm_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let long = " ".repeat(513);
    for (script, refusal) in [
        (
            [
                "C PASV".to_owned(),
                format!("S 227 Entering ({{s}},{{p}}){long}"),
            ],
            "too-long",
        ),
        (
            ["C PASV".to_owned(), format!("S 227 {long}({{s}},{{p}})")],
            "too-long",
        ),
        (
            ["C PASV".to_owned(), "S 227 Entering ({s},{p})\0".to_owned()],
            "nul",
        ),
        (
            [format!("C PORT {long}{{c}},{{p}}"), "S 200 ok".to_owned()],
            "too-long",
        ),
        (
            ["C PORT {c},{p}\0".to_owned(), "S 200 ok".to_owned()],
            "nul",
        ),
    ] {
        let script: Vec<_> = script.iter().map(String::as_str).collect();
        scene.arms_nothing(&mut talk, &script, &[refusal])?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

#[test]
fn a41_cr_echo() -> Result<()> {
    ignored(&[
        &[
            "C CWD x\r227 Entering ({s},{p})",
            "S 550 x\r227 Entering ({s},{p})",
        ],
        &[
            "C PASV x\r227 Entering ({s},{p})",
            "S 501 x\r227 Entering ({s},{p})",
        ],
        &["C PASV", "S 425 x\r227 Entering ({s},{p})"],
    ])
}
